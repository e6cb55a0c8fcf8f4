// Stands in for NVIDIA's cuda_runtime.h: found first by an include path, it makes g++ compile a .cu file for the CPU.
//
// The standard headers come first, and torch's may come before or after: the keyword macros of keywords.h have names
// that the standard library leaves alone, and __CUDACC__ stays undefined.
#pragma once

#include "simt/arithmetic.h"
#include "simt/atomics.h"
#include "simt/core.h"
#include "simt/keywords.h"
#include "simt/launch.h"
#include "simt/runtime_api.h"
#include "simt/synchronization.h"
#include "simt/vector_types.h"
#include "simt/warp.h"
