// Whoever wants to know what a launch does: the watchers of the race build.
#pragma once

#include "state.h"

namespace simt {

class Observer {
 public:
  virtual void begin_launch() {}
  virtual void begin_block() {}
  virtual void at_barrier() {}
  virtual void at_meeting(int /*warp*/, unsigned /*lanes*/) {}  // of lanes in any collective
  virtual void at_sync_warp(int /*warp*/, unsigned /*lanes*/) {}
  virtual void end_block() {}
  virtual void end_launch() {}  // may throw Error

 protected:
  ~Observer() = default;
};

inline std::vector<Observer*>& observers() {
  static std::vector<Observer*> all;
  return all;
}

}  // namespace simt
