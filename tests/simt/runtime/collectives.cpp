// Meetings of a warp's lanes: shuffles, votes, __syncwarp.
#include <algorithm>
#include <cstring>

#include "observer.h"
#include "simt/warp.h"
#include "state.h"

namespace simt {
namespace {

std::vector<Meeting*> spare;  // meetings that are over

Meeting* open_meeting(Warp& warp, const char* name, unsigned mask, Site site) {
  Meeting* meeting;
  if (spare.empty()) {
    meeting = new Meeting;
  } else {
    meeting = spare.back();
    spare.pop_back();
  }
  meeting->name = name;
  meeting->mask = mask;
  meeting->arrived = 0;
  meeting->members = 0;
  meeting->site = site;
  warp.open.push_back(meeting);
  return meeting;
}

Meeting* find_meeting(const Warp& warp, const char* name, unsigned mask, int lane) {
  for (Meeting* meeting : warp.open) {
    if (meeting->mask == mask && std::strcmp(meeting->name, name) == 0 && (meeting->arrived >> lane & 1) == 0) {
      return meeting;
    }
  }
  return nullptr;
}

void complete(Warp& warp, Meeting* meeting) {
  meeting->members = meeting->arrived;
  meeting->readers = __builtin_popcount(meeting->members);
  warp.open.erase(std::find(warp.open.begin(), warp.open.end(), meeting));
}

// A mask may name lanes that the block's last warp does not have.
void check_mask(const char* name, unsigned mask, const Thread& thread, Site site) {
  if ((mask >> thread.lane() & 1) == 0) {
    fail("wrong mask: " + std::string(name) + " is called by a lane that is not in its mask", site);
  }
  const Warp& warp = state.warps[thread.warp()];
  if ((mask & warp.lanes & ~warp.live) != 0) {
    fail("exited lane: the mask of " + std::string(name) + " names a lane that has ended", site);
  }
}

}  // namespace

Meeting* meet(const char* name, unsigned mask, const void* value, size_t bytes, Site site) {
  const OutOfKernel out;
  Thread& thread = *state.current;
  Warp& warp = state.warps[thread.warp()];
  const int lane = thread.lane();
  check_mask(name, mask, thread, site);
  Meeting* meeting = find_meeting(warp, name, mask, lane);
  if (meeting == nullptr) {
    meeting = open_meeting(warp, name, mask, site);
  } else if (meeting->site.line != site.line || std::strcmp(meeting->site.file, site.file) != 0) {
    fail("divergent collective: " + std::string(name) + " while other lanes of the warp wait for it at " +
             describe(meeting->site),
         site);
  }
  std::memcpy(meeting->values[lane], value, bytes);
  meeting->arrived |= 1u << lane;
  if (meeting->arrived == (mask & warp.live)) {
    complete(warp, meeting);
    for (int other = 0; other < 32; ++other) {
      if (other != lane && meeting->has(other)) make_ready(state.threads[thread.warp() * 32 + other]);
    }
    for (Observer* observer : observers()) observer->at_meeting(thread.warp(), meeting->members);
    // Shuffles and votes exchange values; only __syncwarp orders what the lanes did to memory.
    if (std::strcmp(name, "__syncwarp") == 0) {
      for (Observer* observer : observers()) observer->at_sync_warp(thread.warp(), meeting->members);
    }
  } else {
    wait(Phase::kInCollective, name, site);
  }
  return meeting;
}

void leave(Meeting* meeting) {
  const OutOfKernel out;
  if (--meeting->readers == 0) spare.push_back(meeting);
}

void sync_warp(unsigned mask, Site site) {
  const int nothing = 0;
  leave(meet("__syncwarp", mask, &nothing, sizeof nothing, site));
}

void no_such_source(const char* name, int source, Site site) {
  fail("absent source lane: " + std::string(name) + " reads lane " + std::to_string(source) + ", which takes no part",
       site);
}

void exit_from_collectives() {
  const Thread& thread = *state.current;
  for (const Meeting* meeting : state.warps[thread.warp()].open) {
    if ((meeting->mask >> thread.lane() & 1) != 0) {
      fail("exit during a collective: the lane ends while its warp waits for it in " + std::string(meeting->name),
           meeting->site);
    }
  }
}

}  // namespace simt
