"""``python -m benchmarks.cuda_model``."""

from benchmarks.cuda_model.model import main

if __name__ == "__main__":
    main()
