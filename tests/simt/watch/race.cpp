// Within a block, barriers order all threads, and __syncwarp the lanes that meet in it, which vector clocks follow.
// Nothing orders the blocks of a launch; launches follow each other. So a race is found where the rules of CUDA leave
// an order open, though the schedule that ran may have hidden it.
#include "race.h"

#include <algorithm>
#include <set>
#include <utility>

#include "../runtime/observer.h"
#include "access.h"
#include "shadow.h"
#include "symbols.h"

namespace simt {

Watching watching;

namespace {

constexpr size_t kMostReports = 16;  // of one launch; each asks addr2line twice

class RaceWatcher : public Observer {
 public:
  RaceWatcher() { observers().push_back(this); }

  void begin_launch() override {
    shadow_.clear();
    seen_.clear();
    first_ = "";
    epoch_ = 1;
  }
  void begin_block() override {
    ++epoch_;
    clocks_.assign(size_t{32} * state.block_threads, 0);
    for (int id = 0; id < state.block_threads; ++id) own_clock(id) = 1;
  }
  void at_barrier() override { ++epoch_; }
  void at_sync_warp(int warp, unsigned lanes) override;
  void end_launch() override {
    shadow_.clear();
    if (!first_.empty()) {
      throw Error(first_ + (seen_.size() > 1 ? ", and " + std::to_string(seen_.size() - 1) + " more" : ""));
    }
  }

  void access(const Access& access);

  std::vector<std::string> found;

 private:
  // clock(id, lane): up to which of that lane's steps thread `id` knows what it did.
  uint32_t& clock(int id, int lane) { return clocks_[size_t{32} * id + lane]; }
  uint32_t& own_clock(int id) { return clock(id, id % 32); }
  bool happened_before(const Trace& earlier, int thread);
  bool conflict(const Trace& earlier, const Trace& now);
  void remember_load(Cell& cell, const Trace& now);
  void report(const char* kind, const Trace& earlier, const Trace& now, bool shared);

  Shadow shadow_;
  uint32_t epoch_ = 1;  // counts barriers and blocks
  std::vector<uint32_t> clocks_;
  std::set<std::pair<const char*, const char*>> seen_;
  std::string first_;
} watcher;

void RaceWatcher::at_sync_warp(int warp, unsigned lanes) {
  uint32_t known[32] = {};
  for (int i = 0; i < 32; ++i) {
    if ((lanes >> i & 1) == 0) continue;
    for (int j = 0; j < 32; ++j) known[j] = std::max(known[j], clock(warp * 32 + i, j));
  }
  for (int i = 0; i < 32; ++i) {
    if ((lanes >> i & 1) == 0) continue;
    for (int j = 0; j < 32; ++j) clock(warp * 32 + i, j) = known[j];
    ++own_clock(warp * 32 + i);
  }
}

bool RaceWatcher::happened_before(const Trace& earlier, int thread) {
  if (earlier.block != state.block_number) return false;
  if (earlier.thread == thread || earlier.epoch != epoch_) return true;
  return earlier.thread / 32 == thread / 32 && earlier.clock <= clock(thread, earlier.thread % 32);
}

bool RaceWatcher::conflict(const Trace& earlier, const Trace& now) {
  if (earlier.empty() || (earlier.bytes & now.bytes) == 0 || (earlier.atomic && now.atomic)) return false;
  return !happened_before(earlier, now.thread);
}

// Keeps two loads that a later store may race with, of two warps if there are two: whatever thread stores, one of them
// is of another warp, or at least of another lane.
void RaceWatcher::remember_load(Cell& cell, const Trace& now) {
  const auto replaceable = [&](const Trace& load) { return load.empty() || happened_before(load, now.thread); };
  if (replaceable(cell.loads[0])) {
    cell.loads[0] = now;
  } else if (replaceable(cell.loads[1]) || cell.loads[1].same_warp(cell.loads[0])) {
    cell.loads[1] = now;
  }
}

void RaceWatcher::access(const Access& access) {
  const size_t end = access.address + access.bytes;
  for (size_t word = access.address & ~size_t{3}; word < end; word += 4) {
    Trace now;
    now.block = state.block_number;
    now.epoch = epoch_;
    now.clock = own_clock(access.thread);
    now.thread = static_cast<int16_t>(access.thread);
    now.atomic = access.kind == AccessKind::kAtomic;
    now.code = access.code;
    for (int i = 0; i < 4; ++i) now.bytes |= (word + i >= access.address && word + i < end) << i;
    Cell& cell = shadow_.cell(word);
    if (access.shared) cell.forget_other_blocks(now.block);  // their shared memory is other memory
    const bool load = access.kind == AccessKind::kLoad;
    if (conflict(cell.store, now)) {
      report(load ? "read after write" : "write after write", cell.store, now, access.shared);
    }
    if (load) {
      remember_load(cell, now);
      continue;
    }
    for (Trace& earlier : cell.loads) {
      if (conflict(earlier, now)) report("write after read", earlier, now, access.shared);
      if (!earlier.empty() && happened_before(earlier, now.thread)) earlier = Trace{};
    }
    cell.store = now;
  }
}

void RaceWatcher::report(const char* kind, const Trace& earlier, const Trace& now, bool shared) {
  if (!seen_.insert({earlier.code, now.code}).second || seen_.size() > kMostReports) return;
  const auto side = [](const Trace& trace) {
    return symbol_of(trace.code).place + " by thread " + std::to_string(trace.thread);
  };
  const std::string text = std::string("race: ") + kind + " in " + (shared ? "shared" : "global") + " memory, " +
                           side(earlier) + (earlier.block == now.block ? "" : " of another block") + " and " +
                           side(now) + ", " + describe(*state.current) + ", in " + symbol_of(now.code).function;
  if (first_.empty()) first_ = text;
  found.push_back(text);
}

}  // namespace

void watch_for_races(const Access& access) { watcher.access(access); }
std::vector<std::string> races() { return watcher.found; }
void clear_races() { watcher.found.clear(); }

}  // namespace simt
