"""``python -m benchmarks.gpu.cuda_model``."""

import sys

from benchmarks.gpu.cuda_model.model import main

if __name__ == "__main__":
    sys.exit(main())
