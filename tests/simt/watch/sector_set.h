// A set of sectors: bits, on pages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace simt {

class SectorSet {
 public:
  void insert(uint64_t sector) {
    const uint64_t number = sector / kPageBits;
    if (number != last_number_) {
      std::unique_ptr<Page>& page = pages_[number];
      if (page == nullptr) page = std::make_unique<Page>();
      last_page_ = page.get();
      last_number_ = number;
    }
    uint64_t& word = (*last_page_)[sector % kPageBits / 64];
    const uint64_t bit = uint64_t{1} << (sector % 64);
    size_ += (word & bit) == 0;
    word |= bit;
  }
  uint64_t size() const { return size_; }
  void clear() {
    pages_.clear();
    last_number_ = UINT64_MAX;
    size_ = 0;
  }

 private:
  static constexpr uint64_t kPageBits = 4096;
  using Page = std::array<uint64_t, kPageBits / 64>;

  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  uint64_t last_number_ = UINT64_MAX;
  Page* last_page_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace simt
