// What telemetry costs in nanoseconds: one value into the sketch, two sketches merged, one inference's telemetry as the
// agent records it, one verdict over a thousand pairs. Beside each, the plainest thing that could do the same.
//   bench_telemetry_cost [--quick]      prints one JSON document
#include "agent/telemetry_link.hpp"
#include "ota/manifest.hpp"
#include "telemetry/judge.hpp"
#include "telemetry/recorder.hpp"
#include "tests/bench/support.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>

namespace ferry::bench {
namespace {

using telemetry::ExpHistogram;
using Watch = std::chrono::steady_clock;

constexpr std::size_t values_count = 1 << 14;
constexpr std::size_t classes = 10;
constexpr std::size_t pairs = telemetry::gate_pairs_max;
constexpr int inferences_per_arm = 1'500;  // every resolution of the default policy is frozen

struct Effort {
  std::size_t rounds, passes, verdicts;
};

// Keeps the compiler from dropping work whose result nobody reads.
template <class T>
void used(const T& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

template <class Work>
double nanoseconds_each(std::size_t times, Work work) {
  const auto started = Watch::now();
  work();
  return std::chrono::duration<double, std::nano>(Watch::now() - started).count() / static_cast<double>(times);
}

std::vector<double> latencies(std::uint64_t seed, std::size_t count, double slower = 1) {
  std::mt19937_64 engine(seed);
  std::lognormal_distribution<double> latency(-8.5, 0.25);
  std::vector<double> values(count);
  for (double& value : values) value = latency(engine) * slower;
  return values;
}

// The same buckets in the plainest containers there are.
int index_by_logarithm(double value) { return static_cast<int>(std::ceil(std::log2(value) * 32)) - 1; }

Json record_cost(const Effort& effort) {
  const auto values = latencies(1, values_count);
  std::vector<double> sketch_ns, array_ns, map_ns;
  for (std::size_t round = 0; round < effort.rounds; ++round) {
    ExpHistogram sketch;
    std::array<std::uint64_t, 32 * 27> array{};
    std::map<int, std::uint64_t> tree;
    const std::size_t times = effort.passes * values.size();
    sketch_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < effort.passes; ++pass)
        for (const double value : values) sketch.record(value);
    }));
    array_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < effort.passes; ++pass)
        for (const double value : values) ++array[static_cast<std::size_t>(index_by_logarithm(value) + 32 * 20)];
    }));
    map_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < effort.passes; ++pass)
        for (const double value : values) ++tree[index_by_logarithm(value)];
    }));
    used(sketch);
    used(array);
    used(tree);
  }
  return Json{{"sketch", spread(sketch_ns)}, {"array", spread(array_ns)}, {"map", spread(map_ns)}};
}

Json merge_cost(const Effort& effort) {
  std::vector<ExpHistogram> sketches(64);
  std::vector<std::map<int, std::uint64_t>> trees(sketches.size());
  for (std::size_t at = 0; at < sketches.size(); ++at)
    for (const double value : latencies(at, 200)) {
      sketches[at].record(value);
      ++trees[at][index_by_logarithm(value)];
    }
  std::vector<double> sketch_ns, map_ns;
  for (std::size_t round = 0; round < effort.rounds; ++round) {
    const std::size_t passes = effort.passes * 8, times = passes * sketches.size();
    ExpHistogram sum;
    std::map<int, std::uint64_t> tree;
    sketch_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < passes; ++pass)
        for (const auto& sketch : sketches) sum.merge(sketch);
    }));
    map_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < passes; ++pass)
        for (const auto& one : trees)
          for (const auto& [index, count] : one) tree[index] += count;
    }));
    used(sum);
    used(tree);
  }
  return Json{{"sketch", spread(sketch_ns)}, {"map", spread(map_ns)}};
}

// The whole of it: class, confidence and MNLP from the scores, the sketch, the release's key, the lock.
Result<Json> inference_cost(const Effort& effort) {
  SystemClock clock;
  const FileDescriptor null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  Log log(clock, null.get(), LogFormat::text, LogLevel::error);
  TRY(const auto database, open_sqlite(":memory:"));
  agent::Identity identity;
  identity.server = "https://unused.invalid";
  identity.install = "ins-0123456789ab";
  TRY(const auto link, agent::TelemetryLink::open(identity, "boot-0123456789ab", *database, clock, log));
  ota::Manifest manifest;
  manifest.contract.labels.assign(classes, "label");
  agent::SlotContents release;
  release.model = "fashion-mnist";
  release.version = "1.1.0";
  release.manifest_sha256 = sha256("manifest");
  release.slot = "a";
  release.directory = "/nowhere";
  release.manifest = std::make_shared<const ota::Manifest>(std::move(manifest));
  std::mt19937_64 engine(3);
  std::normal_distribution<float> logit(0, 3);
  std::vector<std::array<float, classes>> scores(1024);
  for (auto& one : scores)
    for (float& value : one) value = logit(engine);
  const auto values = latencies(5, scores.size());
  std::vector<double> ours_ns, bare_ns;
  std::uint64_t counts[classes] = {};
  for (std::size_t round = 0; round < effort.rounds; ++round) {
    const std::size_t times = effort.passes * scores.size();
    ours_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < effort.passes; ++pass)
        for (std::size_t at = 0; at < scores.size(); ++at) {
          const auto latency = std::chrono::nanoseconds(static_cast<std::int64_t>(values[at] * 1e9));
          const agent::InferenceSample sample{release, latency, {}, scores[at]};
          link->on_inference(sample);
        }
    }));
    // The least that confidence needs: ten exponentials and the largest score.
    bare_ns.push_back(nanoseconds_each(times, [&] {
      for (std::size_t pass = 0; pass < effort.passes; ++pass)
        for (const auto& one : scores) {
          double sum = 0;
          for (const float value : one) sum += std::exp(static_cast<double>(value));
          ++counts[static_cast<std::size_t>(std::max_element(one.begin(), one.end()) - one.begin())];
          used(sum);
        }
    }));
    used(counts);
  }
  return Json{{"ours", spread(ours_ns)}, {"exponentials", spread(bare_ns)}};
}

telemetry::DeviceCounts counts_of(std::uint64_t seed, double slower) {
  telemetry::DeviceCounts counts;
  for (const double value : latencies(seed, inferences_per_arm, slower)) counts.latency.record(value);
  counts.errors = seed % 5;
  counts.audited = 400;
  counts.audited_correct = 370 + seed % 20;
  return counts;
}

Result<Json> judge_cost(const Effort& effort) {
  telemetry::GateEvidence evidence;
  evidence.age_s = 3'600;
  std::vector<double> observe_us, judge_us;
  for (std::size_t at = 0; at < pairs; ++at) {
    const telemetry::PairBaseline baseline{counts_of(4 * at, 1), counts_of(4 * at + 1, 1)};
    telemetry::PairLook look{.started = true};
    look.canary.counts = counts_of(4 * at + 2, 1.02);
    look.control.counts = counts_of(4 * at + 3, 1);
    const auto started = Watch::now();
    evidence.pairs.push_back(telemetry::observe({}, baseline, look, evidence.policy, false));
    observe_us.push_back(std::chrono::duration<double, std::micro>(Watch::now() - started).count());
  }
  for (std::size_t round = 0; round < effort.verdicts; ++round) {
    const auto started = Watch::now();
    const telemetry::Verdict verdict = telemetry::judge(evidence);
    judge_us.push_back(std::chrono::duration<double, std::micro>(Watch::now() - started).count());
    if (verdict.pairs.complete != static_cast<std::int64_t>(pairs))
      return Error{Errc::internal,
                   "judge: " + std::to_string(verdict.pairs.complete) + " pairs are complete, expected all"};
  }
  return Json{{"pairs", pairs}, {"verdict_us", spread(judge_us)}, {"observe_pair_us", spread(observe_us)}};
}

Result<Json> measure(bool quick) {
  const Effort effort = quick ? Effort{9, 10, 51} : Effort{25, 40, 501};
  Json all = Json::object();
  all["record_ns"] = record_cost(effort);
  all["merge_ns"] = merge_cost(effort);
  TRY(all["inference_ns"], inference_cost(effort));
  TRY(all["judge"], judge_cost(effort));
  return all;
}

}  // namespace
}  // namespace ferry::bench

int main(int argc, char** argv) {
  return ferry::bench::finish(ferry::bench::measure(argc > 1 && std::string_view(argv[1]) == "--quick"));
}
