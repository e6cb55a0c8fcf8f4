// The state of the launch that runs. There is one, for launches take turns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fiber.h"
#include "simt/core.h"
#include "simt/launch.h"
#include "simt/warp.h"

namespace simt {

constexpr int kMaxThreads = 1024;

enum class Order { kForward, kReverse, kRandom };

struct Schedule {
  Order order = Order::kForward;
  unsigned seed = 0;
};

enum class Phase : uint8_t { kReady, kInCollective, kInBarrier, kDone };

// One CUDA thread.
struct Thread {
  Fiber fiber;
  uint3 index{};
  int id = 0;
  Phase phase = Phase::kDone;
  const char* waits_in = "";
  Site site{"", 0};

  int warp() const { return id / 32; }
  int lane() const { return id % 32; }
};

struct Warp {
  unsigned lanes = 0;  // those that the block fills
  unsigned live = 0;   // lanes that have not exited
  unsigned ready = 0;  // lanes that can run
  std::vector<Meeting*> open;
};

// The barrier of the block that runs.
struct Barrier {
  int waiting = 0;
  Site site{"", 0};
  int ayes = 0;
  Votes result{0, 0};
};

struct State {
  Schedule schedule;
  std::mt19937 random;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barrier;
  const Launch* launch = nullptr;
  Thread* current = nullptr;
  bool in_kernel = false;  // false while the emulator works, whose accesses are not the kernel's
  int block_threads = 0;
  int live = 0;
  uint32_t block_number = 0;  // counts the blocks of the launch, in the order in which they run
  std::string error;
};
extern State state;

// While it lives, the emulator works for the thread that called it.
struct OutOfKernel {
  OutOfKernel() { state.in_kernel = false; }
  ~OutOfKernel() { state.in_kernel = true; }
};

void set_schedule(const Schedule& schedule);
Schedule get_schedule();

std::string describe(Site site);
std::string describe(const Thread& thread);

// The current thread waits, until someone makes it ready.
void wait(Phase phase, const char* name, Site site);
void make_ready(Thread& thread);

// What a thread's exit means to those who wait for it.
void exit_from_collectives();
void exit_from_barrier();

}  // namespace simt
