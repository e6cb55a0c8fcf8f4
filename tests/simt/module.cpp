// The emulator's Python module. What it does to launches holds for those of torch.ops.cmlfast_emulated too.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "runtime/shared_memory.h"
#include "runtime/state.h"
#include "selftest/cases.h"
#include "watch/access.h"
#include "watch/race.h"
#include "watch/symbols.h"
#include "watch/traffic.h"

namespace py = pybind11;

namespace {

simt::Schedule parse_schedule(const std::string& order, unsigned seed) {
  if (order == "forward") return {simt::Order::kForward, seed};
  if (order == "reverse") return {simt::Order::kReverse, seed};
  if (order == "random") return {simt::Order::kRandom, seed};
  throw std::invalid_argument("order is '" + order + "'; it must be 'forward', 'reverse' or 'random'");
}

template <typename Cases>
auto find(const Cases& cases, const std::string& name) {
  const auto found = cases.find(name);
  if (found == cases.end()) throw std::invalid_argument("there is no '" + name + "'");
  return found->second;
}

template <typename Cases>
std::vector<std::string> names(const Cases& cases) {
  std::vector<std::string> result;
  for (const auto& each : cases) result.push_back(each.first);
  return result;
}

// Returns "" or what was reported. With "" for the order, the schedule in force holds.
std::string run(selftest::Run run, const std::string& order, unsigned seed) {
  const simt::Schedule before = simt::get_schedule();
  if (!order.empty()) simt::set_schedule(parse_schedule(order, seed));
  std::string message;
  try {
    run();
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  simt::set_schedule(before);
  return message;
}

#if defined(CMLFAST_SIMT_WATCH)
py::list traffic() {
  constexpr const char* kNames[simt::kClasses] = {"loads", "stores", "atomics", "loads_16", "stores_16"};
  py::list result;
  for (const simt::LaunchTraffic& launch : simt::traffic()) {
    py::dict row;
    row["kernel"] = simt::symbol_of(launch.kernel).function;
    for (int i = 0; i < simt::kClasses; ++i) {
      const simt::Totals& totals = launch.classes[i];
      py::dict part;
      part["requests"] = totals.requests;
      part["sectors"] = totals.sectors;
      part["distinct_sectors"] = totals.distinct_sectors;
      part["bytes"] = totals.bytes;
      row[kNames[i]] = part;
    }
    result.append(row);
  }
  return result;
}
#endif

}  // namespace

PYBIND11_MODULE(cmlfast_simt, m) {
  m.def(
      "set_schedule", [](const std::string& order, unsigned seed) { simt::set_schedule(parse_schedule(order, seed)); },
      py::arg("order"), py::arg("seed") = 0);
  m.def("guard_shared_memory", simt::guard_shared_memory);
  m.def("fault_names", [] { return names(selftest::faults()); });
  m.def(
      "run_fault",
      [](const std::string& name, const std::string& order, unsigned seed, bool correct) {
        const selftest::Fault fault = find(selftest::faults(), name);
        return run(correct ? fault.correct : fault.faulty, order, seed);
      },
      py::arg("name"), py::arg("order") = "", py::arg("seed") = 0, py::arg("correct") = false);
  m.def("example_names", [] { return names(selftest::examples()); });
  m.def(
      "run_example",
      [](const std::string& name, const std::string& order, unsigned seed) {
        return run(find(selftest::examples(), name), order, seed);
      },
      py::arg("name"), py::arg("order") = "", py::arg("seed") = 0);
#if defined(CMLFAST_SIMT_WATCH)
  m.def("set_race_checking", [](bool on) { simt::watching.races = on; });
  m.def("races", simt::races);
  m.def("clear_races", simt::clear_races);
  m.def("set_traffic_counting", [](bool on) { simt::watching.traffic = on; });
  m.def("traffic", traffic);
  m.def("clear_traffic", simt::clear_traffic);
#endif
}
