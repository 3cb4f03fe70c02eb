#include "ci_gates/evaluation.hpp"

#include <cmath>
#include <cstring>
#include <fstream>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t batch_samples_max = 64;
constexpr std::size_t warm_up_runs = 50;

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
};

Result<Judged> judge_samples(runtime::Session& session, const Feed& feed, const Dataset& dataset,
                             const std::string& class_output) {
  Judged judged;
  for (std::size_t first = 0; first < dataset.size(); first += feed.batch_samples()) {
    const std::size_t count = std::min(feed.batch_samples(), dataset.size() - first);
    TRY(const auto outputs, run(session, {feed.tensor(first, count)}));
    TRY(const runtime::Tensor* scores, class_scores(outputs, class_output));
    const std::size_t classes = scores->bytes.size() / sizeof(float) / count;
    if (classes == 0) return Error{Errc::bad_input, "output " + class_output + " is empty"};
    std::vector<float> row(classes);
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(row.data(), scores->bytes.data() + i * classes * sizeof(float), classes * sizeof(float));
      const telemetry::Prediction seen = telemetry::read_prediction(row);
      const bool right = !std::isnan(seen.confidence) && int(seen.top_class) == dataset.label(first + i);
      judged.correct.push_back(right ? '1' : '0');
      // What is not a number has no place in a histogram; golden.determinism and accuracy judge it.
      if (std::isfinite(seen.confidence) && std::isfinite(seen.mnlp_bits)) judged.samples.push_back({seen, right});
    }
  }
  return judged;
}

Result<> run_block(runtime::Session& session, const Feed& feed, const Dataset& dataset, std::size_t& next,
                   std::size_t runs, std::vector<double>* latencies_us) {
  for (std::size_t i = 0; i < runs; ++i) {
    const std::vector<runtime::Tensor> inputs{feed.tensor(next++ % dataset.size(), 1)};
    const auto views = runtime::views_of(inputs);
    const auto started = std::chrono::steady_clock::now();
    auto outputs = session.run(views, {});
    const auto took = std::chrono::steady_clock::now() - started;
    if (!outputs) return std::move(outputs).error();
    if (latencies_us) latencies_us->push_back(std::chrono::duration<double, std::micro>(took).count());
  }
  return {};
}

// Blocks A B B A A B B A …: slow drift of the machine falls on both alike (STATS.md §5.2.4).
Result<> measure_latency(runtime::Session& session, runtime::Session* baseline, const Feed& feed,
                         const Dataset& dataset, std::uint64_t runs, Evaluation& into) {
  std::size_t next = 0;
  TRY_VOID(run_block(session, feed, dataset, next, warm_up_runs, nullptr));
  if (baseline) TRY_VOID(run_block(*baseline, feed, dataset, next, warm_up_runs, nullptr));
  const std::size_t blocks = (runs + latency_block_runs - 1) / latency_block_runs;
  for (std::size_t block = 0; block < blocks; ++block) {
    const bool candidate_first = block % 2 == 0;
    for (const bool candidate : {candidate_first, !candidate_first}) {
      if (!candidate && !baseline) continue;
      std::size_t same_inputs = block * latency_block_runs;
      TRY_VOID(run_block(candidate ? session : *baseline, feed, dataset, same_inputs, latency_block_runs,
                         candidate ? &into.latencies_us : &into.baseline_latencies_us));
    }
  }
  return {};
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
    if (again != golden.outputs && into.determinism_error.empty()) {
      into.determinism_error =
          "sample " + std::to_string(sample) + ": two runs of the same input gave different outputs";
    }
    for (const runtime::Tensor& output : golden.outputs) {
      if (runtime::has_nan(output.datatype, output.bytes) && into.determinism_error.empty()) {
        into.determinism_error = "sample " + std::to_string(sample) + ": output " + output.name + " holds NaN";
      }
    }
    into.golden.push_back(std::move(golden));
  }
  return {};
}

// VmHWM: the most memory this process ever held.
std::uint64_t memory_peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::strtoull(line.c_str() + 6, nullptr, 10) * 1024;
  }
  return 0;
}

}  // namespace

Result<Evaluation> evaluate(const Path& runtime_library, std::string_view model, const BaselineModel* baseline,
                            const ota::Manifest& manifest, const Dataset& dataset, const EvaluationPlan& plan) {
  TRY(const auto engine, runtime::open_onnx_engine(runtime_library));
  Evaluation seen;
  seen.runtime_name = engine->info().name;
  seen.runtime_version = engine->info().version;
  const runtime::SessionOptions options{.threads = plan.threads};
  TRY(const auto session, engine->load(model, options));
  seen.opset = session->opset();
  seen.contract_error = contract_error(manifest.contract, *session);
  if (!seen.contract_error.empty()) return seen;
  if (manifest.contract.inputs.size() != 1) {
    return Error{Errc::unsupported, "the gate feeds models with one input; this contract has " +
                                        std::to_string(manifest.contract.inputs.size())};
  }
  const Feed feed(manifest.contract.inputs[0], dataset);
  TRY_VOID(feed.check(manifest.contract.inputs[0]));

  TRY_VOID(record_golden(*session, feed, dataset, plan.golden_samples, seen));
  const bool classifies = manifest.contract.task == "classification";
  if (classifies) {
    TRY(Judged judged, judge_samples(*session, feed, dataset, manifest.contract.class_output));
    seen.correct = std::move(judged.correct);
    if (!judged.samples.empty())
      seen.reference = telemetry::make_reference_profile(judged.samples, manifest.contract.labels.size());
  }
  // Before the baseline is loaded: its memory is not the candidate's.
  seen.memory_peak_bytes = memory_peak_bytes();

  std::unique_ptr<runtime::Session> deployed;
  if (baseline) {
    TRY(deployed, engine->load(baseline->bytes, options));
  }
  TRY_VOID(measure_latency(*session, deployed.get(), feed, dataset, plan.latency_samples, seen));
  if (classifies && deployed) {
    TRY(Judged before, judge_samples(*deployed, feed, dataset, manifest.contract.class_output));
    seen.baseline_correct = std::move(before.correct);
  }
  return seen;
}

}  // namespace ferry::ci_gates
