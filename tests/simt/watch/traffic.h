// How much of global memory each launch moves, in warp requests and sectors of 32 bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

enum Class { kLoads, kStores, kAtomics, kLoads16, kStores16, kClasses };

struct Totals {
  uint64_t requests = 0;          // of a warp: one instruction, for all lanes that execute it
  uint64_t sectors = 0;           // summed over the requests
  uint64_t distinct_sectors = 0;  // of the launch: the least that a perfect cache would move
  uint64_t bytes = 0;             // summed over the lanes
};

struct LaunchTraffic {
  const void* kernel = nullptr;
  std::array<Totals, kClasses> classes;  // the last two are those of 16 bytes per lane, which the first two contain
};

// Of the launches since it was last cleared.
std::vector<LaunchTraffic> traffic();
void clear_traffic();

}  // namespace simt
