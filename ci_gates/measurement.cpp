#include "ci_gates/measurement.hpp"

#include <nlohmann/json.hpp>

namespace ferry::ci_gates {

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::pass:
      return "pass";
    case Verdict::hold:
      return "hold";
    case Verdict::fail:
      return "fail";
  }
  return "hold";
}

Json to_json(const Measurement& measurement) {
  Json line;
  line["id"] = measurement.id;
  line["unit"] = measurement.unit;
  line["value"] = measurement.value;
  if (measurement.low) line["low"] = *measurement.low;
  if (measurement.high) line["high"] = *measurement.high;
  line["threshold"] = measurement.threshold;
  line["op"] = measurement.op;
  line["n"] = measurement.n;
  line["verdict"] = to_string(measurement.verdict);
  line["detail"] = measurement.detail;
  return line;
}

Verdict overall(const std::vector<Measurement>& measurements) {
  if (measurements.empty()) return Verdict::hold;
  Verdict worst = Verdict::pass;
  for (const Measurement& measurement : measurements) worst = std::max(worst, measurement.verdict);
  return worst;
}

}  // namespace ferry::ci_gates
