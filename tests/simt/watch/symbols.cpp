#include "symbols.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>

namespace simt {
namespace {

bool read_line(FILE* file, std::string& line) {
  char buffer[4096];
  if (std::fgets(buffer, sizeof buffer, file) == nullptr) return false;
  line = buffer;
  if (!line.empty() && line.back() == '\n') line.pop_back();
  return true;
}

}  // namespace

Symbol symbol_of(const void* code) {
  Symbol symbol{"?", "?"};
  Dl_info info;
  if (dladdr(code, &info) == 0) return symbol;
  char offset[32];
  std::snprintf(offset, sizeof offset, "0x%zx",
                reinterpret_cast<uintptr_t>(code) - reinterpret_cast<uintptr_t>(info.dli_fbase));
  // With -i, the function that was inlined comes first and its callers after it.
  const std::string command = "addr2line -Cfie '" + std::string(info.dli_fname) + "' " + offset + " 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return symbol;
  bool found = false;
  Symbol next;
  while (read_line(pipe, next.function) && read_line(pipe, next.place)) {
    if (found) continue;  // only to let addr2line finish
    next.place = next.place.substr(0, next.place.find(" (discriminator"));
    symbol = next;
    found = next.place.find("/include/simt/") == std::string::npos;  // a kernel's line, not an intrinsic's
  }
  pclose(pipe);
  return symbol;
}

}  // namespace simt
