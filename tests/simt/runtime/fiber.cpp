#include "fiber.h"

#include <sys/mman.h>

#include "simt/core.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(...)
#define __sanitizer_finish_switch_fiber(...)
#define __asan_unpoison_memory_region(...)
#endif

#if defined(__x86_64__)
// Saves the callee-saved registers and the stack pointer, and continues where another fiber did so. swapcontext would
// do the same, with two system calls for the signal mask.
extern "C" __attribute__((visibility("hidden"))) void simt_switch(void** save, void* load);
asm(R"(.text
.hidden simt_switch
.globl simt_switch
.type simt_switch,@function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch,.-simt_switch
)");
#endif

namespace simt {
namespace {

constexpr size_t kPage = 4096;

// The scheduler, on the stack of whoever launched.
struct Home {
#if defined(__x86_64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  size_t bytes = 0;
} home;

}  // namespace

void Fiber::make_stack() {
  void* memory =
      mmap(nullptr, kStackBytes + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw Error("no memory for the stack of an emulated thread");
  mprotect(memory, kPage, PROT_NONE);  // what runs over the stack stops here
  stack_ = static_cast<char*>(memory) + kPage;
}

void Fiber::start(void (*entry)(), int number) {
  if (stack_ == nullptr) make_stack();
  // Frames that were never returned from are still poisoned: entry's, or all of them after an abandoned launch.
  [[maybe_unused]] const size_t poisoned = finished_ ? 2 * kPage : kStackBytes;
  __asan_unpoison_memory_region(stack_ + kStackBytes - poisoned, poisoned);
  finished_ = false;
  // Stacks that all began at a page's border would share a few sets of the cache.
  char* top = stack_ + kStackBytes - (number * 5 % 64) * 64;
#if defined(__x86_64__)
  void** pointer = reinterpret_cast<void**>(top);
  *--pointer = nullptr;  // what entry would return to
  *--pointer = reinterpret_cast<void*>(entry);
  for (int saved_register = 0; saved_register < 6; ++saved_register) *--pointer = nullptr;
  stack_pointer_ = pointer;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = top - stack_;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

void Fiber::enter() {
  __sanitizer_start_switch_fiber(&home.fake_stack, stack_, kStackBytes);
#if defined(__x86_64__)
  simt_switch(&home.stack_pointer, stack_pointer_);
#else
  swapcontext(&home.context, &context_);
#endif
  __sanitizer_finish_switch_fiber(home.fake_stack, nullptr, nullptr);
}

void Fiber::leave(bool for_good) {
  finished_ = for_good;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, home.bottom, home.bytes);
#if defined(__x86_64__)
  simt_switch(&stack_pointer_, home.stack_pointer);
#else
  swapcontext(&context_, &home.context);
#endif
  __sanitizer_finish_switch_fiber(fake_stack_, &home.bottom, &home.bytes);
}

void Fiber::entered() { __sanitizer_finish_switch_fiber(nullptr, &home.bottom, &home.bytes); }

}  // namespace simt
