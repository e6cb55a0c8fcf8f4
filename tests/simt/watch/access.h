// One access of a kernel to memory, as the callbacks tell it to the watchers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

enum class AccessKind : uint8_t { kLoad, kStore, kAtomic };

struct Access {
  size_t address;
  unsigned bytes;  // at most 16
  AccessKind kind;
  bool shared;       // shared memory, else global
  int thread;        // within its block
  const char* code;  // the instruction
};

void watch_for_races(const Access& access);
void count_traffic(const Access& access);

// What of it is on.
struct Watching {
  bool races = true;
  bool traffic = false;
};
extern Watching watching;

}  // namespace simt
