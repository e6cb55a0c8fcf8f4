// Races: two accesses to the same bytes, not both loads and not both atomic, that nothing orders.
#pragma once

#include <string>
#include <vector>

namespace simt {

// Those found since they were last cleared. A launch with races also ends in an Error.
std::vector<std::string> races();
void clear_races();

}  // namespace simt
