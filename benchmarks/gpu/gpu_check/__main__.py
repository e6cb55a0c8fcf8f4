"""``python -m benchmarks.gpu.gpu_check``."""

import sys

from benchmarks.gpu.gpu_check.check import main

if __name__ == "__main__":
    sys.exit(main())
