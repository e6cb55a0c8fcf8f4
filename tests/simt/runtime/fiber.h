// Fibers: each CUDA thread runs on a stack of its own and gives the processor back when it has to wait.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  static constexpr size_t kStackBytes = 128 << 10;

  // Makes the next enter() call `entry`, which must not return. `number` spreads the stacks over the cache's sets.
  void start(void (*entry)(), int number);
  // From the scheduler: run until the fiber calls leave().
  void enter();
  // From the fiber: back to the scheduler. A fiber that leaves for good is not entered again.
  void leave(bool for_good);
  // What a fiber must call first.
  static void entered();

  bool owns(size_t address) const { return address - reinterpret_cast<size_t>(stack_) < kStackBytes; }

 private:
  void make_stack();

  char* stack_ = nullptr;
  bool finished_ = false;       // left for good, so that only the frame of `entry` is on the stack
  void* fake_stack_ = nullptr;  // AddressSanitizer's
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
};

}  // namespace simt
