// Registers the operators a second time, as torch.ops.cmlfast_emulated: the kernels of csrc/cuda, emulated.
#include "../../csrc/schemas.h"

STABLE_TORCH_LIBRARY(cmlfast_emulated, m) { cmlfast::define_operators(m); }
