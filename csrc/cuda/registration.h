// Where kernels register: under CUDA, unless a test that runs them without a GPU says otherwise.
#pragma once

#include <torch/csrc/stable/library.h>

#ifndef CMLFAST_CUDA_KEY
#define CMLFAST_CUDA_KEY CUDA
#endif
