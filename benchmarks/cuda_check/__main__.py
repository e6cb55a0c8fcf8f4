"""``python -m benchmarks.cuda_check``."""

import sys

from benchmarks.cuda_check.check import main

if __name__ == "__main__":
    sys.exit(main())
