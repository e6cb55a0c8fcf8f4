// The threads of one block: who runs when, and what becomes of them.
//
// Depth first: a warp runs as far as it can before the next one starts, so that warps drift apart by all that lies
// between two barriers. Turn by turn, a write that should wait for other warps' reads would always come after them.
#include "block.h"

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "state.h"

namespace simt {
namespace {

// The first thing on each fiber.
void thread_main() {
  Fiber::entered();
  state.in_kernel = true;
  state.launch->run(state.launch->call);
  state.in_kernel = false;
  Thread& thread = *state.current;
  Warp& warp = state.warps[thread.warp()];
  thread.site = {"", 0};
  thread.phase = Phase::kDone;
  warp.live &= ~(1u << thread.lane());
  --state.live;
  exit_from_barrier();
  exit_from_collectives();
  thread.fiber.leave(true);
  std::abort();
}

void start_threads() {
  const dim3 size = builtins.block_dim;
  state.live = state.block_threads;
  state.barrier = Barrier{};
  for (size_t w = 0; w < state.warps.size(); ++w) {
    const int lanes = std::min(32, state.block_threads - static_cast<int>(w) * 32);
    Warp& warp = state.warps[w];
    warp.lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warp.live = warp.lanes;
    warp.ready = warp.lanes;
    warp.open.clear();
  }
  for (int id = 0; id < state.block_threads; ++id) {
    Thread& thread = state.threads[id];
    const unsigned u = id;
    thread.id = id;
    thread.phase = Phase::kReady;
    thread.index = {u % size.x, u / size.x % size.y, u / (size.x * size.y)};
    thread.fiber.start(thread_main, id);
  }
}

void run_thread(Thread& thread) {
  state.current = &thread;
  builtins.thread = thread.index;
  thread.fiber.enter();
  state.current = nullptr;
  state.in_kernel = false;
  if (!state.error.empty()) throw Error(state.error);
}

unsigned rotate_right(unsigned lanes, unsigned by) { return by == 0 ? lanes : lanes >> by | lanes << (32 - by); }

// Lets each lane that is ready run once, up to where it waits.
void run_ready_lanes(int w) {
  const bool random = state.schedule.order == Order::kRandom;
  Warp& warp = state.warps[w];
  const unsigned first = random ? state.random() % 32 : 0;
  const bool backward = state.schedule.order == Order::kReverse || (random && state.random() % 2 != 0);
  unsigned lanes = rotate_right(warp.ready, first);
  warp.ready = 0;
  while (lanes != 0) {
    const int next = backward ? 31 - __builtin_clz(lanes) : __builtin_ctz(lanes);
    lanes &= ~(1u << next);
    run_thread(state.threads[w * 32 + (next + first) % 32]);
  }
}

[[noreturn]] void report_deadlock() {
  constexpr int kShown = 6;
  std::string message = "deadlock: no thread of the block can run;";
  const Thread* last = nullptr;
  int shown = 0;
  for (int id = 0; id < state.block_threads && shown < kShown; ++id) {
    const Thread& thread = state.threads[id];
    if (thread.phase == Phase::kDone) continue;
    const bool same = last != nullptr && last->phase == thread.phase && last->site.line == thread.site.line;
    last = &thread;
    if (same) continue;
    message += " [" + describe(thread) + " waits in " + thread.waits_in + " at " + describe(thread.site) + "]";
    ++shown;
  }
  throw Error(message);
}

}  // namespace

void run_block() {
  start_threads();
  const bool random = state.schedule.order == Order::kRandom;
  std::vector<int> order(state.warps.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = static_cast<int>(state.schedule.order == Order::kReverse ? order.size() - 1 - i : i);
  }
  while (state.live > 0) {
    bool moved = false;
    if (random) std::shuffle(order.begin(), order.end(), state.random);
    for (const int w : order) {
      int turns = random ? static_cast<int>(state.random() % 16) + 1 : INT_MAX;
      for (; state.warps[w].ready != 0 && turns > 0; --turns) {
        moved = true;
        run_ready_lanes(w);
      }
    }
    if (!moved) report_deadlock();
  }
}

}  // namespace simt
