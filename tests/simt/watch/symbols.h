// Names for addresses of code.
#pragma once

#include <string>

namespace simt {

struct Symbol {
  std::string function;
  std::string place;  // file:line
};

// Asks addr2line, which takes a while: for reports.
Symbol symbol_of(const void* code);

}  // namespace simt
