// What a gate measured and what it says about it.
#pragma once
#include "common/json.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ferry::ci_gates {

enum class Verdict { pass, hold, fail };  // hold: not enough evidence
std::string_view to_string(Verdict verdict);

// One line of the gate report (docs/formats/gate.md).
struct Measurement {
  std::string id;    // "<metric>@<hardware class>/<variant>"
  std::string unit;  // ppm | us | bytes | ratio | samples | difference
  double value = 0;
  std::optional<double> low, high;  // confidence bounds, when the verdict used one
  double threshold = 0;
  std::string op;  // ">=" | "<=" | "=="
  std::uint64_t n = 0;
  Verdict verdict = Verdict::hold;
  std::string detail;  // for a person: numbers, not adjectives
};

Json to_json(const Measurement& measurement);
// fail if any fails, else hold if any holds, else pass; hold for an empty list.
Verdict overall(const std::vector<Measurement>& measurements);

}  // namespace ferry::ci_gates
