// torch_parallel_for for ThreadSanitizer, in place of torch's: new threads for each call, and shares of one iteration
// at least, whatever the grain. ThreadSanitizer sees how these begin and end; of OpenMP's it sees nothing, and would
// take every use of memory behind a parallel loop for a race.
#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <thread>
#include <vector>

extern "C" __attribute__((visibility("hidden"))) AOTITorchError torch_parallel_for(int64_t begin, int64_t end,
                                                                                   int64_t /* grain */,
                                                                                   ParallelFunc share, void* context) {
  constexpr int64_t kThreads = 4;
  // A planted fault: shares that overlap by one iteration.
  static const int64_t overlap = std::getenv("CMLFAST_TSAN_OVERLAP") ? 1 : 0;
  const int64_t n = end - begin;
  const int64_t n_threads = std::min(kThreads, n);
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(std::max<int64_t>(n_threads, 1));
  for (int64_t t = 0; t < n_threads; ++t) {
    const int64_t first = begin + n * t / n_threads;
    const int64_t last = std::min(end, begin + n * (t + 1) / n_threads + overlap);
    threads.emplace_back([=, &errors] {
      try {
        share(first, last, context);
      } catch (...) {
        errors[t] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::any_of(errors.begin(), errors.end(), [](const auto& error) { return error != nullptr; })
             ? AOTI_TORCH_FAILURE
             : AOTI_TORCH_SUCCESS;
}
