// Launches: one at a time, block after block, in the order that the schedule asks for.
#include <algorithm>
#include <mutex>
#include <numeric>

#include "block.h"
#include "observer.h"
#include "shared_memory.h"
#include "state.h"

namespace simt {

State state;

namespace {

std::mutex one_launch;

// The numbers 0 to n - 1 as the schedule has them.
std::vector<size_t> ordered(size_t n) {
  std::vector<size_t> result(n);
  std::iota(result.begin(), result.end(), size_t{0});
  if (state.schedule.order == Order::kReverse) std::reverse(result.begin(), result.end());
  if (state.schedule.order == Order::kRandom) std::shuffle(result.begin(), result.end(), state.random);
  return result;
}

void check(const Launch& launch) {
  const size_t threads = size_t{launch.block.x} * launch.block.y * launch.block.z;
  const bool some = launch.grid.x > 0 && launch.grid.y > 0 && launch.grid.z > 0;
  if (!some || threads == 0 || threads > kMaxThreads || launch.grid.y > 65535 || launch.grid.z > 65535 ||
      launch.grid.x > 0x7FFFFFFF || launch.block.z > 64 || launch.dynamic_bytes > 227 * 1024) {
    throw Error("invalid launch: " + std::to_string(launch.grid.x) + " x " + std::to_string(launch.grid.y) + " x " +
                std::to_string(launch.grid.z) + " blocks of " + std::to_string(threads) + " threads, " +
                std::to_string(launch.dynamic_bytes) + " bytes of dynamic shared memory");
  }
}

// Leaves the state fit for the next launch, however this one ends.
struct Running {
  explicit Running(const Launch& launch) {
    state.launch = &launch;
    state.error.clear();
    state.random.seed(state.schedule.seed);
    state.block_number = 0;
    state.block_threads = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
    if (static_cast<int>(state.threads.size()) < state.block_threads) state.threads.resize(state.block_threads);
    state.warps.resize((state.block_threads + 31) / 32);
    builtins.block_dim = launch.block;
    builtins.grid_dim = launch.grid;
  }
  ~Running() {
    state.launch = nullptr;
    state.current = nullptr;
    state.in_kernel = false;
  }
};

}  // namespace

void set_schedule(const Schedule& schedule) {
  const std::lock_guard<std::mutex> lock(one_launch);
  state.schedule = schedule;
}

Schedule get_schedule() {
  const std::lock_guard<std::mutex> lock(one_launch);
  return state.schedule;
}

void launch(const Launch& launch) {
  check(launch);
  const std::lock_guard<std::mutex> lock(one_launch);
  const Running running(launch);
  const DynamicShared dynamic(launch.dynamic_bytes);
  for (Observer* observer : observers()) observer->begin_launch();
  const dim3 grid = launch.grid;
  for (const size_t number : ordered(size_t{grid.x} * grid.y * grid.z)) {
    builtins.block = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                      static_cast<unsigned>(number / grid.x / grid.y)};
    ++state.block_number;
    poison_shared_memory();
    for (Observer* observer : observers()) observer->begin_block();
    run_block();
    for (Observer* observer : observers()) observer->end_block();
  }
  for (Observer* observer : observers()) observer->end_launch();
}

}  // namespace simt
