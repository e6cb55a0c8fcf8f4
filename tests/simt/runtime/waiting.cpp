// What barriers and collectives share: to wait, to go on, to fail.
#include "simt/core.h"
#include "state.h"

namespace simt {

int lane_id() { return state.current->lane(); }

std::string describe(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

std::string describe(const Thread& thread) {
  const auto triple = [](const uint3& at) {
    return "(" + std::to_string(at.x) + "," + std::to_string(at.y) + "," + std::to_string(at.z) + ")";
  };
  return "block " + triple(builtins.block) + " thread " + triple(thread.index);
}

// The fiber cannot throw: the frames below it are not the launcher's. The scheduler throws in its place and abandons
// the fiber.
void fail(const std::string& message, Site site) {
  state.in_kernel = false;
  state.error = message + ", at " + describe(site) + ", " + describe(*state.current);
  for (;;) state.current->fiber.leave(false);
}

void wait(Phase phase, const char* name, Site site) {
  Thread& thread = *state.current;
  thread.phase = phase;
  thread.waits_in = name;
  thread.site = site;
  thread.fiber.leave(false);
}

void make_ready(Thread& thread) {
  thread.phase = Phase::kReady;
  state.warps[thread.warp()].ready |= 1u << thread.lane();
}

}  // namespace simt
