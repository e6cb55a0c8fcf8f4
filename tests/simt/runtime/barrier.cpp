// __syncthreads and its like.
#include <cstring>

#include "observer.h"
#include "simt/core.h"
#include "state.h"

namespace simt {
namespace {

void release() {
  for (int id = 0; id < state.block_threads; ++id) {
    if (state.threads[id].phase == Phase::kInBarrier) make_ready(state.threads[id]);
  }
  Barrier& barrier = state.barrier;
  barrier.result = {barrier.ayes, barrier.waiting};
  barrier.waiting = 0;
  barrier.ayes = 0;
  for (Observer* observer : observers()) observer->at_barrier();
}

}  // namespace

Votes sync_block(bool vote, const char* name, Site site) {
  const OutOfKernel out;
  Barrier& barrier = state.barrier;
  if (barrier.waiting > 0 && (barrier.site.line != site.line || std::strcmp(barrier.site.file, site.file) != 0)) {
    fail("divergent barrier: " + std::string(name) + " while other threads of the block wait at " +
             describe(barrier.site),
         site);
  }
  if (state.live != state.block_threads) {
    fail("barrier after an exit: " + std::string(name) + " that " + std::to_string(state.block_threads - state.live) +
             " threads of the block will not reach",
         site);
  }
  barrier.site = site;
  barrier.ayes += vote;
  ++barrier.waiting;
  if (barrier.waiting == state.live) {
    release();
  } else {
    wait(Phase::kInBarrier, name, site);
  }
  return state.barrier.result;
}

// An exit completes what the others wait for on a GPU too, but it is an error of the kernel all the same, and here it
// is one in every schedule.
void exit_from_barrier() {
  if (state.barrier.waiting > 0) {
    fail("exit during a barrier: the thread ends while others of its block wait in __syncthreads", state.barrier.site);
  }
}

}  // namespace simt
