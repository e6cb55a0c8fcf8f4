"""``python -m benchmarks.gpu.cuda_check``."""

import sys

from benchmarks.gpu.cuda_check.check import main

if __name__ == "__main__":
    sys.exit(main())
