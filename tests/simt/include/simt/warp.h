// Warp collectives: lane-exact, met by exactly the lanes of the mask.
#pragma once

#include <cstring>
#include <type_traits>

#include "core.h"

namespace simt {

// The lanes' letters to each other are no memory of the kernel: nobody watches them.
#define SIMT_UNWATCHED __attribute__((no_sanitize("thread")))

// One meeting of lanes in a collective, with what each brought.
struct Meeting {
  const char* name;
  unsigned mask;
  unsigned arrived;
  unsigned members;  // those who met, once it is complete
  int readers;       // members that have not yet left
  Site site;
  alignas(16) unsigned char values[32][16];

  SIMT_UNWATCHED bool has(int lane) const { return members >> lane & 1; }
};

// Waits until the mask's lanes have come. Every member then calls leave() once.
Meeting* meet(const char* name, unsigned mask, const void* value, size_t bytes, Site site);
void leave(Meeting* meeting);
void sync_warp(unsigned mask, Site site);
[[noreturn]] void no_such_source(const char* name, int source, Site site);

template <typename T>
SIMT_UNWATCHED T shuffle(const char* name, unsigned mask, T value, int source, Site site) {
  static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>);
  Meeting* meeting = meet(name, mask, &value, sizeof value, site);
  if (!meeting->has(source)) no_such_source(name, source, site);
  T result;
  std::memcpy(&result, meeting->values[source], sizeof result);
  leave(meeting);
  return result;
}

// Folds the members' values, in the order of the lanes.
template <typename Result, typename T, typename Fold>
SIMT_UNWATCHED Result reduce(const char* name, unsigned mask, T value, Result result, Site site, Fold fold) {
  Meeting* meeting = meet(name, mask, &value, sizeof value, site);
  for (int lane = 0; lane < 32; ++lane) {
    if (!meeting->has(lane)) continue;
    T each;
    std::memcpy(&each, meeting->values[lane], sizeof each);
    result = fold(result, each, lane);
  }
  leave(meeting);
  return result;
}

}  // namespace simt

inline void __syncwarp(unsigned mask = ~0u, SIMT_SITE) { simt::sync_warp(mask, SIMT_HERE); }

// The shuffles split the warp into segments of `width` lanes; a lane whose source lies outside keeps its own value.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_SITE) {
  const int segment = simt::lane_id() & ~(width - 1);
  return simt::shuffle("__shfl_sync", mask, value, segment | (source & (width - 1)), SIMT_HERE);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SIMT_SITE) {
  const int lane = simt::lane_id();
  const int source = lane ^ lanes;
  return simt::shuffle("__shfl_xor_sync", mask, value, source > (lane | (width - 1)) ? lane : source, SIMT_HERE);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  const int lane = simt::lane_id();
  const int source = lane - static_cast<int>(delta);
  return simt::shuffle("__shfl_up_sync", mask, value, source < (lane & ~(width - 1)) ? lane : source, SIMT_HERE);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_SITE) {
  const int lane = simt::lane_id();
  const int source = lane + static_cast<int>(delta);
  return simt::shuffle("__shfl_down_sync", mask, value, source > (lane | (width - 1)) ? lane : source, SIMT_HERE);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::reduce("__ballot_sync", mask, predicate, 0u, SIMT_HERE,
                      [](unsigned result, int each, int lane) { return result | unsigned{each != 0} << lane; });
}
inline int __any_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::reduce("__any_sync", mask, predicate, 0, SIMT_HERE,
                      [](int result, int each, int) { return int{result || each}; });
}
inline int __all_sync(unsigned mask, int predicate, SIMT_SITE) {
  return simt::reduce("__all_sync", mask, predicate, 1, SIMT_HERE,
                      [](int result, int each, int) { return int{result && each}; });
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned value, SIMT_SITE) {
  return simt::reduce("__reduce_add_sync", mask, value, 0u, SIMT_HERE,
                      [](unsigned result, unsigned each, int) { return result + each; });
}
inline int __reduce_add_sync(unsigned mask, int value, SIMT_SITE) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), file, line));
}
inline unsigned __activemask(SIMT_SITE) {
  simt::fail("__activemask: which lanes run together is nothing to rely on; pass the mask on instead", SIMT_HERE);
}
