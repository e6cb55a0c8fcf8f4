"""An emulator of CUDA threads: runs the kernels of csrc/cuda on the CPU. See README.md."""
