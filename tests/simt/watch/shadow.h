// What the race watcher remembers of each word of memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace simt {

// One access that was.
struct Trace {
  const char* code = nullptr;
  uint32_t block = 0;
  uint32_t epoch = 0;
  uint32_t clock = 0;
  int16_t thread = -1;
  uint8_t bytes = 0;  // which of the word's four
  bool atomic = false;

  bool empty() const { return thread < 0; }
  bool same_warp(const Trace& other) const { return block == other.block && thread / 32 == other.thread / 32; }
};

struct Cell {
  Trace store;
  Trace loads[2];

  void forget_other_blocks(uint32_t block) {
    for (Trace* trace : {&store, &loads[0], &loads[1]}) {
      if (trace->block != block) *trace = Trace{};
    }
  }
};

class Shadow {
 public:
  Cell& cell(size_t address) {
    const size_t number = address / kPageBytes;
    if (number != last_number_) {
      std::unique_ptr<Page>& page = pages_[number];
      if (page == nullptr) page = std::make_unique<Page>();
      last_page_ = page.get();
      last_number_ = number;
    }
    return (*last_page_)[address % kPageBytes / 4];
  }
  void clear() {
    pages_.clear();
    last_number_ = SIZE_MAX;
  }

 private:
  static constexpr size_t kPageBytes = 1024;
  using Page = std::array<Cell, kPageBytes / 4>;

  std::unordered_map<size_t, std::unique_ptr<Page>> pages_;
  size_t last_number_ = SIZE_MAX;
  Page* last_page_ = nullptr;
};

}  // namespace simt
