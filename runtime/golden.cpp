// golden.bin and the comparison rule (docs/formats/golden.md).
#include "runtime/golden.hpp"

#include "runtime/worker_protocol.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>

namespace ferry::runtime {
namespace {

Result<GoldenSample> parse_record(const Frame& frame) {
  TRY(Json head, parse_frame_head(frame.head));
  GoldenSample sample;
  TRY(sample.sample, integer_at(head, "sample", 0));
  TRY(sample.label, integer_or(head, "label", -1, -1));
  std::size_t offset = 0;
  TRY(auto inputs, tensors_from_json(head, "inputs", frame.body, offset));
  TRY(auto outputs, tensors_from_json(head, "outputs", frame.body, offset));
  if (outputs.empty()) return Error{Errc::bad_input, "outputs: none, expected at least one"};
  if (offset != frame.body.size()) {
    return Error{Errc::bad_input, std::to_string(frame.body.size() - offset) + " bytes belong to no tensor"};
  }
  sample.inputs = copies_of(inputs);
  sample.outputs = copies_of(outputs);
  return sample;
}

Result<> check_limits(std::size_t samples, std::size_t bytes) {
  if (samples > golden_samples_max) {
    return Error{Errc::bad_input,
                 "golden samples: " + std::to_string(samples) + ", at most " + std::to_string(golden_samples_max)};
  }
  if (bytes > golden_bytes_max) {
    return Error{Errc::bad_input, "golden samples: " + std::to_string(bytes) + " bytes, at most " +
                                      std::to_string(golden_bytes_max) + "; use fewer samples"};
  }
  return {};
}

std::string describe(DataType type, const Shape& shape) {
  return std::string(to_string(type)) + " " + to_string(shape);
}

Error differs(const std::string& where, const std::string& what) {
  return Error{Errc::gate_failed, where + ": " + what, "trial.golden"};
}

// Row by row of the last dimension; only where CI itself was sure.
Result<> compare_arg_max(const std::string& where, const Tensor& expected, const std::vector<double>& want,
                         const std::vector<double>& have, double tolerance) {
  std::size_t width = expected.shape.empty() ? want.size() : static_cast<std::size_t>(expected.shape.back());
  if (width < 2) return {};
  for (std::size_t row = 0; row + width <= want.size(); row += width) {
    std::span want_row(want.data() + row, width);
    std::span have_row(have.data() + row, width);
    auto best = arg_max(want_row);
    double second = -HUGE_VAL;
    for (std::size_t at = 0; at < width; ++at) {
      if (static_cast<std::int64_t>(at) != best) second = std::max(second, want_row[at]);
    }
    bool sure = want_row[static_cast<std::size_t>(best)] - second > 2 * tolerance;
    if (sure && arg_max(have_row) != best) {
      return differs(where, "the largest of row " + std::to_string(row / width) + " is element " +
                                std::to_string(arg_max(have_row)) + ", CI's was " + std::to_string(best));
    }
  }
  return {};
}

Result<double> compare_output(const std::string& where, const Tensor& expected, const Tensor& got,
                              const GoldenRule& rule) {
  if (got.datatype != expected.datatype || got.shape != expected.shape || got.bytes.size() != expected.bytes.size()) {
    return differs(where,
                   describe(got.datatype, got.shape) + ", expected " + describe(expected.datatype, expected.shape));
  }
  auto want = to_numbers(expected.datatype, expected.bytes);
  auto have = to_numbers(got.datatype, got.bytes);
  double largest = 0;
  for (std::size_t at = 0; at < have.size(); ++at) {
    auto element = "element " + std::to_string(at);
    if (std::isnan(have[at])) return differs(where, element + " is NaN");
    if (std::isnan(want[at])) return differs(where, element + " is NaN in the golden file; nothing can match it");
    if (want[at] == have[at]) continue;  // infinities too
    double difference = std::fabs(want[at] - have[at]);
    if (!(difference <= rule.tolerance)) {
      return differs(where, element + " is " + std::to_string(have[at]) + ", expected " + std::to_string(want[at]) +
                                " within " + std::to_string(rule.tolerance));
    }
    largest = std::max(largest, difference);
  }
  if (expected.name == rule.class_output) TRY_VOID(compare_arg_max(where, expected, want, have, rule.tolerance));
  return largest;
}

}  // namespace

Result<std::string> format_golden(const std::vector<GoldenSample>& samples) {
  if (samples.empty()) return Error{Errc::bad_input, "golden samples: none, expected at least one"};
  std::string out;
  for (const auto& sample : samples) {
    std::string body;
    for (const auto& tensor : sample.inputs) body += tensor.bytes;
    for (const auto& tensor : sample.outputs) body += tensor.bytes;
    Json head{{"sample", sample.sample},
              {"label", sample.label},
              {"inputs", tensors_to_json(views_of(sample.inputs))},
              {"outputs", tensors_to_json(views_of(sample.outputs))}};
    TRY(auto record, frame_prefix_and_head(head, body.size()));
    out += record;
    out += body;
    TRY_VOID(check_limits(samples.size(), out.size()));
  }
  TRY([[maybe_unused]] auto back,
      parse_golden(out));  // a tensor whose bytes do not fit its shape stops here, not on the device
  return out;
}

Result<std::vector<GoldenSample>> parse_golden(std::string_view bytes) {
  TRY_VOID(check_limits(0, bytes.size()));
  std::vector<GoldenSample> samples;
  FrameParser parser;
  for (;;) {
    std::string where = "golden sample " + std::to_string(samples.size());
    auto frame = parser.next();
    if (!frame) return std::move(frame).error().within(where);
    if (*frame) {
      auto sample = parse_record(**frame);
      if (!sample) return std::move(sample).error().within(where);
      samples.push_back(std::move(*sample));
      TRY_VOID(check_limits(samples.size(), 0));
      continue;
    }
    if (bytes.empty()) break;
    auto room = parser.prepare();
    auto take = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), take);
    parser.commit(take);
    bytes.remove_prefix(take);
  }
  if (parser.in_frame()) {
    return Error{Errc::bad_input,
                 "golden sample " + std::to_string(samples.size()) + ": the file ends in the middle of it"};
  }
  if (samples.empty()) return Error{Errc::bad_input, "golden samples: none, expected at least one"};
  return samples;
}

Result<std::vector<GoldenSample>> read_golden(const Path& path) {
  TRY(auto bytes, read_file(path, golden_bytes_max));
  auto samples = parse_golden(bytes);
  if (!samples) return std::move(samples).error().within(path.string());
  return samples;
}

Result<GoldenDifference> compare_golden(const GoldenSample& expected, const std::vector<Tensor>& got,
                                        const GoldenRule& rule) {
  GoldenDifference difference;
  std::string sample = "golden sample " + std::to_string(expected.sample);
  for (const auto& output : got) {
    if (std::ranges::find(expected.outputs, output.name, &Tensor::name) == expected.outputs.end()) {
      return differs(sample, "output \"" + output.name + "\" is not in the golden file");
    }
  }
  for (const auto& output : expected.outputs) {
    std::string where = sample + ": output \"" + output.name + "\"";
    auto found = std::ranges::find(got, output.name, &Tensor::name);
    if (found == got.end()) return differs(where, "missing");
    TRY(double largest, compare_output(where, output, *found, rule));
    if (largest > difference.largest || difference.output.empty()) difference = {largest, output.name};
  }
  return difference;
}

}  // namespace ferry::runtime
