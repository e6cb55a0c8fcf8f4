// The order in which blocks and warps run, made visible: what a schedule decides, and what it must repeat.
#include "cases.h"

namespace {

using selftest::Array;

__global__ void take_turns(unsigned* next, unsigned* turns) {
  turns[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(next, 1u);
  __syncwarp();
}

// Fails on purpose: the message is the order.
void run_order() {
  const Array<unsigned> next(std::vector<unsigned>{0});
  const Array<unsigned> turns(4 * 64);
  selftest::run(take_turns, 4, 64, 0, next.data(), turns.data());
  std::string order;
  for (const unsigned turn : turns.values()) order += " " + std::to_string(turn);
  throw std::runtime_error("order:" + order);
}

SIMT_EXAMPLE(order)

}  // namespace
