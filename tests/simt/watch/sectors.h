// Sets of sectors, the 32 bytes that global memory moves at least. 64 sectors in a row are the bits of one word.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace simt {

constexpr unsigned kSectorBytes = 32;

struct Window {
  uint64_t number = UINT64_MAX;  // sector / 64; none at first
  uint64_t bits = 0;
  uint32_t next = UINT32_MAX;  // in the pool, where a set needs more than one window
};

// The few sectors of one warp request. Mostly they lie together, and one window holds them all.
class FewSectors {
 public:
  void insert(uint64_t sector, std::vector<Window>& pool) {
    const uint64_t number = sector / 64;
    if (first_.number == UINT64_MAX) first_.number = number;
    Window* window = &first_;
    while (window->number != number) {
      if (window->next == UINT32_MAX) {
        window->next = static_cast<uint32_t>(pool.size());
        pool.push_back({number});
        window = &pool.back();
      } else {
        window = &pool[window->next];
      }
    }
    window->bits |= uint64_t{1} << (sector % 64);
  }

  template <typename Function>
  void for_each_window(const std::vector<Window>& pool, Function function) const {
    for (const Window* window = &first_; window != nullptr;
         window = window->next == UINT32_MAX ? nullptr : &pool[window->next]) {
      function(*window);
    }
  }

 private:
  Window first_;
};

// The many sectors of a launch.
class ManySectors {
 public:
  void insert(const Window& window) {
    const uint64_t number = window.number / kPageWindows;
    if (number != last_number_) {
      std::unique_ptr<Page>& page = pages_[number];
      if (page == nullptr) page = std::make_unique<Page>();
      last_page_ = page.get();
      last_number_ = number;
    }
    uint64_t& bits = (*last_page_)[window.number % kPageWindows];
    size_ += __builtin_popcountll(window.bits & ~bits);
    bits |= window.bits;
  }
  uint64_t size() const { return size_; }
  void clear() {
    pages_.clear();
    last_number_ = UINT64_MAX;
    size_ = 0;
  }

 private:
  static constexpr uint64_t kPageWindows = 64;
  using Page = std::array<uint64_t, kPageWindows>;

  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_number_ = UINT64_MAX;
  Page* last_page_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace simt
