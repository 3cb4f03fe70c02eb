#include "ci_gates/evaluation.hpp"

#include <sched.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t batch_samples_max = 64;

// The model's view of the data set: one input tensor per batch.
class Feed {
 public:
  Feed(const ota::TensorSpec& input, const Dataset& dataset)
      : dataset_(dataset), name_(input.name), shape_(input.shape) {
    can_batch_ = !shape_.empty() && shape_[0] == -1;
    for (std::int64_t& dimension : shape_) {
      if (dimension == -1) dimension = 1;
    }
  }

  // bad_input when a sample of the data set is no input of this model.
  Result<> check(const ota::TensorSpec& input) const {
    if (input.datatype != "FP32") {
      return Error{Errc::unsupported,
                   "input " + input.name + ": the gate feeds FP32, the contract says " + input.datatype};
    }
    std::int64_t values = 1;
    for (const std::int64_t dimension : shape_) values *= dimension;
    if (std::size_t(values) != dataset_.values_per_sample()) {
      return Error{Errc::bad_input, "input " + input.name + " holds " + std::to_string(values) +
                                        " values a sample, data set " + dataset_.name() + " has " +
                                        std::to_string(dataset_.values_per_sample())};
    }
    return {};
  }

  std::size_t batch_samples() const { return can_batch_ ? batch_samples_max : 1; }

  runtime::Tensor tensor(std::size_t first, std::size_t count) const {
    runtime::Tensor made{name_, runtime::DataType::fp32, shape_, {}};
    if (can_batch_) made.shape[0] = std::int64_t(count);
    std::vector<float> values;
    for (std::size_t i = first; i < first + count; ++i) {
      dataset_.values(i, values);
      made.bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    }
    return made;
  }

 private:
  const Dataset& dataset_;
  std::string name_;
  runtime::Shape shape_;
  bool can_batch_ = false;
};

Result<std::vector<runtime::Tensor>> run(runtime::Session& session, const std::vector<runtime::Tensor>& inputs) {
  return session.run(runtime::views_of(inputs), {});
}

Result<const runtime::Tensor*> class_scores(const std::vector<runtime::Tensor>& outputs, const std::string& name) {
  for (const runtime::Tensor& output : outputs) {
    if (output.name == name && output.datatype == runtime::DataType::fp32) return &output;
  }
  return Error{Errc::bad_input, "output " + name + ": expected FP32 class scores, the model has none"};
}

// A model may leave a dimension open that the contract fixes, never the other way round.
bool accepts(const runtime::Shape& declared, const runtime::Shape& said) {
  return std::equal(declared.begin(), declared.end(), said.begin(), said.end(),
                    [](std::int64_t model, std::int64_t contract) { return model == -1 || model == contract; });
}

std::string contract_error(const ota::Contract& contract, const runtime::Session& session) {
  const auto compare = [](const char* what, const std::vector<ota::TensorSpec>& said,
                          const std::vector<runtime::TensorInfo>& declared) -> std::string {
    if (said.size() != declared.size()) {
      return std::string(what) + ": contract names " + std::to_string(said.size()) + ", the model has " +
             std::to_string(declared.size());
    }
    for (const ota::TensorSpec& tensor : said) {
      const auto found =
          std::find_if(declared.begin(), declared.end(), [&](const auto& d) { return d.name == tensor.name; });
      if (found == declared.end()) return std::string(what) + " " + tensor.name + ": not in the model";
      if (runtime::to_string(found->datatype) != tensor.datatype) {
        return std::string(what) + " " + tensor.name + ": contract says " + tensor.datatype + ", the model " +
               std::string(runtime::to_string(found->datatype));
      }
      if (!accepts(found->shape, tensor.shape)) {
        return std::string(what) + " " + tensor.name + ": contract shape " + runtime::to_string(tensor.shape) +
               ", the model's is " + runtime::to_string(found->shape);
      }
    }
    return {};
  };
  const std::string inputs = compare("input", contract.inputs, session.inputs());
  return inputs.empty() ? compare("output", contract.outputs, session.outputs()) : inputs;
}

struct Judged {
  std::string correct;
  std::vector<telemetry::ReferenceSample> samples;
  std::uint64_t scanned = 0, with_nan = 0, with_infinity = 0;
};

void scan(const std::vector<runtime::Tensor>& outputs, Judged& into) {
  for (const runtime::Tensor& output : outputs) {
    ++into.scanned;
    into.with_nan += runtime::has_nan(output.datatype, output.bytes);
    const std::vector<double> numbers = runtime::to_numbers(output.datatype, output.bytes);
    into.with_infinity += std::any_of(numbers.begin(), numbers.end(), [](double value) { return std::isinf(value); });
  }
}

Result<> judge_batch(const std::vector<runtime::Tensor>& outputs, const Dataset& dataset, std::size_t first,
                     std::size_t count, const std::string& class_output, Judged& into) {
  TRY(const runtime::Tensor* scores, class_scores(outputs, class_output));
  const std::size_t classes = scores->bytes.size() / sizeof(float) / count;
  if (classes == 0) return Error{Errc::bad_input, "output " + class_output + " is empty"};
  std::vector<float> row(classes);
  for (std::size_t i = 0; i < count; ++i) {
    std::memcpy(row.data(), scores->bytes.data() + i * classes * sizeof(float), classes * sizeof(float));
    const telemetry::Prediction seen = telemetry::read_prediction(row);
    const bool right = !std::isnan(seen.confidence) && int(seen.top_class) == dataset.label(first + i);
    into.correct.push_back(right ? '1' : '0');
    // What is not a number has no place in a histogram; numerics.finite and accuracy judge it.
    if (std::isfinite(seen.confidence) && std::isfinite(seen.mnlp_bits)) into.samples.push_back({seen, right});
  }
  return {};
}

// Every sample once; `class_output` empty: outputs are scanned and not compared with labels.
Result<Judged> judge_samples(runtime::Session& session, const Feed& feed, const Dataset& dataset,
                             const std::string& class_output) {
  Judged judged;
  for (std::size_t first = 0; first < dataset.size(); first += feed.batch_samples()) {
    const std::size_t count = std::min(feed.batch_samples(), dataset.size() - first);
    TRY(const auto outputs, run(session, {feed.tensor(first, count)}));
    scan(outputs, judged);
    if (!class_output.empty()) TRY_VOID(judge_batch(outputs, dataset, first, count, class_output, judged));
  }
  return judged;
}

// The clock is read around the run alone: the input is ready before, the outputs are dropped after.
TimedRun timed(runtime::Session& session, const Feed& feed) {
  return [&session, &feed](std::size_t sample) -> Result<Nanoseconds> {
    const std::vector<runtime::Tensor> inputs{feed.tensor(sample, 1)};
    const auto views = runtime::views_of(inputs);
    const Nanoseconds started = monotonic_raw();
    const auto outputs = session.run(views, {});
    const Nanoseconds took = monotonic_raw() - started;
    if (!outputs) return outputs.error();
    return took;
  };
}

Result<> record_golden(runtime::Session& session, const Feed& feed, const Dataset& dataset, std::uint64_t samples,
                       Evaluation& into) {
  for (std::uint64_t k = 0; k < samples && k < dataset.size(); ++k) {
    const std::size_t sample = k * dataset.size() / std::min<std::uint64_t>(samples, dataset.size());
    runtime::GoldenSample golden;
    golden.sample = std::int64_t(sample);
    golden.label = dataset.label(sample);
    golden.inputs = {feed.tensor(sample, 1)};
    TRY(golden.outputs, run(session, golden.inputs));
    TRY(const auto again, run(session, golden.inputs));
    for (const runtime::Tensor& output : golden.outputs) {
      if (runtime::has_nan(output.datatype, output.bytes) && into.determinism_error.empty()) {
        into.determinism_error = "sample " + std::to_string(sample) + ": output " + output.name + " holds NaN";
      }
    }
    if (again != golden.outputs && into.determinism_error.empty()) {
      into.determinism_error =
          "sample " + std::to_string(sample) + ": two runs of the same input gave different outputs";
    }
    into.golden.push_back(std::move(golden));
  }
  return {};
}

// A model that was loaded anew must give the same bytes: nothing may hang on what was in memory before.
Result<> repeat_golden(runtime::Session& anew, Evaluation& into) {
  for (const runtime::GoldenSample& golden : into.golden) {
    TRY(const auto outputs, run(anew, golden.inputs));
    if (outputs == golden.outputs || !into.determinism_error.empty()) continue;
    into.determinism_error =
        "sample " + std::to_string(golden.sample) + ": the model loaded a second time gave different outputs";
  }
  return {};
}

// The manifest's own golden outputs, from the machine that froze it, against this machine's.
Result<> compare_frozen(runtime::Session& session, const EvaluationPlan& plan, const std::string& class_output,
                        Evaluation& into) {
  const runtime::GoldenRule rule{plan.golden_tolerance, class_output};
  for (const runtime::GoldenSample& golden : plan.frozen_golden) {
    TRY(const auto outputs, run(session, golden.inputs));
    const auto difference = runtime::compare_golden(golden, outputs, rule);
    ++into.golden_compared;
    if (difference)
      into.golden_difference = std::max(into.golden_difference, difference->largest);
    else if (into.golden_error.empty())
      into.golden_error = difference.error().context;
  }
  return {};
}

Result<> pin_to(const std::vector<int>& cores) {
  if (cores.empty()) return {};
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(std::size_t(core), &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) return {};
  return Error{Errc::unsupported, "latency.cores: this machine, or this process's cpuset, has none of them"};
}

// VmHWM: the most memory this process ever held.
std::uint64_t memory_peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

// What one model alone is asked, before anything else is loaded beside it.
Result<> judge_alone(runtime::Session& session, const Feed& feed, const ota::Manifest& manifest, const Dataset& dataset,
                     const EvaluationPlan& plan, Evaluation& into) {
  TRY_VOID(record_golden(session, feed, dataset, plan.golden_samples, into));
  TRY_VOID(compare_frozen(session, plan, manifest.contract.class_output, into));
  const bool classifies = manifest.contract.task == "classification";
  TRY(Judged judged, judge_samples(session, feed, dataset, classifies ? manifest.contract.class_output : ""));
  into.correct = std::move(judged.correct);
  into.scanned = judged.scanned;
  into.with_nan = judged.with_nan;
  into.with_infinity = judged.with_infinity;
  if (!judged.samples.empty())
    into.reference = telemetry::make_reference_profile(judged.samples, manifest.contract.labels.size());
  return {};
}

}  // namespace

Result<Evaluation> evaluate(const Path& runtime_library, std::string_view model, const BaselineModel* baseline,
                            const ota::Manifest& manifest, const Dataset& dataset, const EvaluationPlan& plan) {
  TRY_VOID(pin_to(plan.cores));
  TRY(const auto engine, runtime::open_onnx_engine(runtime_library));
  Evaluation seen;
  seen.runtime_name = engine->info().name;
  seen.runtime_version = engine->info().version;
  seen.model_bytes = model.size();
  const runtime::SessionOptions options{.threads = plan.threads};
  const Nanoseconds started = monotonic_raw();
  TRY(const auto session, engine->load(model, options));
  seen.load_ms = std::chrono::duration<double, std::milli>(monotonic_raw() - started).count();
  seen.opset = session->opset();
  seen.contract_error = contract_error(manifest.contract, *session);
  if (!seen.contract_error.empty()) return seen;
  if (manifest.contract.inputs.size() != 1) {
    return Error{Errc::unsupported, "the gate feeds models with one input; this contract has " +
                                        std::to_string(manifest.contract.inputs.size())};
  }
  const Feed feed(manifest.contract.inputs[0], dataset);
  TRY_VOID(feed.check(manifest.contract.inputs[0]));
  TRY_VOID(judge_alone(*session, feed, manifest, dataset, plan, seen));
  // Before a second model is loaded: its memory is not the candidate's.
  seen.memory_peak_bytes = memory_peak_bytes();
  {
    TRY(const auto anew, engine->load(model, options));
    TRY_VOID(repeat_golden(*anew, seen));
  }

  std::unique_ptr<runtime::Session> deployed;
  TimedRun deployed_run;
  if (baseline) {
    TRY(deployed, engine->load(baseline->bytes, options));
    deployed_run = timed(*deployed, feed);
  }
  TRY(seen.latency, measure_blocks(timed(*session, feed), deployed_run, dataset.size(), plan.blocks, monotonic_raw));
  if (deployed && !seen.correct.empty()) {
    TRY(Judged before, judge_samples(*deployed, feed, dataset, manifest.contract.class_output));
    seen.baseline_correct = std::move(before.correct);
  }
  return seen;
}

}  // namespace ferry::ci_gates
