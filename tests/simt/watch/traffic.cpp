// A warp request is one instruction for all lanes that execute it. Lanes run one after another here, so that the n-th
// time that each lane executes an instruction is taken for the same request. Lanes that meet in a collective go on from
// the same number, so that one that sat out the end of a loop (which nvcc unrolls, and g++ does not) is in step again.
#include "traffic.h"

#include <algorithm>

#include "../runtime/observer.h"
#include "access.h"
#include "sectors.h"

namespace simt {
namespace {

struct Request {
  unsigned bytes = 0;
  FewSectors sectors;
};

// One instruction of the kernel, in the block that runs.
struct Instruction {
  const char* code;
  AccessKind kind;
  unsigned bytes;
  std::vector<uint32_t> visits = std::vector<uint32_t>(kMaxThreads);                   // by thread
  std::vector<std::vector<Request>> requests = std::vector<std::vector<Request>>(32);  // by warp
  std::vector<Window> pool;                                                            // of the requests' sectors
};

class TrafficCounter : public Observer {
 public:
  TrafficCounter() { observers().push_back(this); }

  void begin_launch() override {
    if (!watching.traffic) return;
    current_ = LaunchTraffic{};
    current_.kernel = state.launch->kernel;
    instructions_.clear();
    slots_.assign(kSlots, -1);
    for (ManySectors& set : distinct_) set.clear();
  }
  void at_meeting(int warp, unsigned lanes) override;
  void end_block() override;
  void end_launch() override {
    if (!watching.traffic) return;
    for (int i = 0; i < kClasses; ++i) current_.classes[i].distinct_sectors = distinct_[i].size();
    launches.push_back(current_);
  }

  void access(const Access& access) {
    Instruction& instruction = find(access);
    const uint32_t visit = instruction.visits[access.thread]++;
    std::vector<Request>& requests = instruction.requests[access.thread / 32];
    if (visit >= requests.size()) requests.resize(visit + 1);
    requests[visit].bytes += access.bytes;
    const size_t last = (access.address + access.bytes - 1) / kSectorBytes;
    for (size_t sector = access.address / kSectorBytes; sector <= last; ++sector) {
      requests[visit].sectors.insert(sector, instruction.pool);
    }
  }

  std::vector<LaunchTraffic> launches;

 private:
  static constexpr size_t kSlots = 1 << 12;  // a power of two, far above the instructions of a kernel

  Instruction& find(const Access& access);
  void count(Class where, const Request& request, const std::vector<Window>& pool);

  LaunchTraffic current_;
  std::vector<Instruction> instructions_;
  std::vector<int> slots_;  // a hash table of instructions_
  std::array<ManySectors, kClasses> distinct_;
} counter;

Instruction& TrafficCounter::find(const Access& access) {
  size_t slot = (reinterpret_cast<size_t>(access.code) * 0x9E3779B97F4A7C15u >> 40) % kSlots;
  while (slots_[slot] >= 0) {
    Instruction& instruction = instructions_[slots_[slot]];
    if (instruction.code == access.code && instruction.bytes == access.bytes) return instruction;
    slot = (slot + 1) % kSlots;
  }
  slots_[slot] = static_cast<int>(instructions_.size());
  instructions_.push_back({access.code, access.kind, access.bytes});
  return instructions_.back();
}

void TrafficCounter::count(Class where, const Request& request, const std::vector<Window>& pool) {
  Totals& totals = current_.classes[where];
  ++totals.requests;
  totals.bytes += request.bytes;
  request.sectors.for_each_window(pool, [&](const Window& window) {
    totals.sectors += __builtin_popcountll(window.bits);
    distinct_[where].insert(window);
  });
}

void TrafficCounter::at_meeting(int warp, unsigned lanes) {
  if (!watching.traffic) return;
  for (Instruction& instruction : instructions_) {
    uint32_t* const visits = &instruction.visits[warp * 32];
    uint32_t most = 0;
    for (unsigned left = lanes; left != 0; left &= left - 1) most = std::max(most, visits[__builtin_ctz(left)]);
    for (unsigned left = lanes; left != 0; left &= left - 1) visits[__builtin_ctz(left)] = most;
  }
}

void TrafficCounter::end_block() {
  for (Instruction& instruction : instructions_) {
    const Class all = instruction.kind == AccessKind::kLoad    ? kLoads
                      : instruction.kind == AccessKind::kStore ? kStores
                                                               : kAtomics;
    for (std::vector<Request>& requests : instruction.requests) {
      for (const Request& request : requests) {
        count(all, request, instruction.pool);
        if (instruction.bytes == 16 && all != kAtomics) {
          count(all == kLoads ? kLoads16 : kStores16, request, instruction.pool);
        }
      }
      requests.clear();
    }
    instruction.pool.clear();
    std::fill(instruction.visits.begin(), instruction.visits.begin() + state.block_threads, 0);
  }
}

}  // namespace

void count_traffic(const Access& access) { counter.access(access); }
std::vector<LaunchTraffic> traffic() { return counter.launches; }
void clear_traffic() { counter.launches.clear(); }

}  // namespace simt
