#include "telemetry/judge_pairs.hpp"

#include "common/crypto.hpp"
#include "telemetry/judge_eprocess.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ferry::telemetry {
namespace {

constexpr std::int64_t million = 1'000'000;

// The text that a comparison's digest covers: one line per sketch (docs/formats/verdict.md).
void append_sketch(std::string& text, const ExpHistogram& sketch) {
  text += std::to_string(sketch.zero_count());
  for (std::size_t i = 0; i < sketch.counts().size(); ++i) {
    if (sketch.counts()[i] == 0) continue;
    text += ' ';
    text += std::to_string(sketch.offset() + int(i));
    text += ':';
    text += std::to_string(sketch.counts()[i]);
  }
  text += '\n';
}

std::string digest_of(const PairBaseline& baseline, const PairLook& look) {
  std::string text;
  for (const ExpHistogram* sketch : {&baseline.canary.latency, &look.canary.counts.latency, &baseline.control.latency,
                                     &look.control.counts.latency}) {
    append_sketch(text, *sketch);
  }
  return sha256(text).hex();
}

template <class Comparison, class Same>
bool has(const std::vector<Comparison>& frozen, const Same& same) {
  return std::any_of(frozen.begin(), frozen.end(), same);
}

// `digest`: of this look's sketches, made when the first comparison needs it.
void compare_latency(PairEvidence& pair, const PairBaseline& baseline, const PairLook& look,
                     const QuantilePolicy& policy, std::string& digest) {
  const std::uint64_t before = std::min(baseline.canary.latency.count(), baseline.control.latency.count());
  const std::uint64_t now = std::min(look.canary.counts.latency.count(), look.control.counts.latency.count());
  if (before < std::uint64_t(policy.resolutions.front())) return;
  for (const std::int64_t resolution : policy.resolutions) {
    if (now < std::uint64_t(resolution)) break;
    const bool frozen = has(pair.latency, [&](const LatencyComparison& made) {
      return made.quantile_ppm == policy.quantile_ppm && made.resolution == resolution;
    });
    if (frozen) continue;
    const auto quantile = [&](const DeviceCounts& counts) {
      return log2_quantile_uoct(counts.latency, policy.quantile_ppm);
    };
    if (digest.empty()) digest = digest_of(baseline, look);
    pair.latency.push_back({policy.quantile_ppm, resolution, quantile(baseline.canary), quantile(look.canary.counts),
                            quantile(baseline.control), quantile(look.control.counts), digest});
  }
}

struct Share {
  std::uint64_t part = 0, all = 0;
  std::int64_t ppm() const { return std::llround(double(million) * (double(part) / double(all))); }
};

// Beyond this a count is a lie, and sums of it would overflow.
constexpr std::uint64_t count_max = std::uint64_t{1} << 53;

Share errors_of(const DeviceCounts& counts) {
  const std::uint64_t errors = std::min(counts.errors, count_max);
  return {errors, std::min(counts.latency.count(), count_max) + errors};
}
Share mistakes_of(const DeviceCounts& counts) {
  return {counts.audited - std::min(counts.audited, counts.audited_correct), counts.audited};
}

void compare_shares(std::vector<ShareComparison>& frozen, const Share (&before)[2], const Share (&now)[2],
                    const SharePolicy& policy) {
  const auto first = std::uint64_t(policy.resolutions.front());
  const bool has_baseline = std::min(before[0].all, before[1].all) >= first;
  for (const std::int64_t resolution : policy.resolutions) {
    if (std::min(now[0].all, now[1].all) < std::uint64_t(resolution)) break;
    if (has(frozen, [&](const ShareComparison& made) { return made.resolution == resolution; })) continue;
    frozen.push_back({resolution, has_baseline, has_baseline ? before[0].ppm() : 0, now[0].ppm(),
                      has_baseline ? before[1].ppm() : 0, now[1].ppm()});
  }
}

void note_silence(PairEvidence& pair, const PairLook& look, const JudgePolicy& policy) {
  const auto silent = [&](const ArmLook& arm) { return arm.failed || arm.last_report_age_s > policy.silent_after_s; };
  pair.canary_silent = silent(look.canary);
  pair.control_silent = silent(look.control);
  if (pair.first_silent != FirstSilent::none) return;
  if (pair.canary_silent && pair.control_silent) pair.first_silent = FirstSilent::both;
  if (pair.canary_silent && !pair.control_silent) pair.first_silent = FirstSilent::canary;
  if (!pair.canary_silent && pair.control_silent) pair.first_silent = FirstSilent::control;
}

std::int64_t unats(double nats) { return std::llround(std::clamp(nats, -1e9, 1e9) * million); }

WithinDevice own_past(const DeviceCounts& before, const DeviceCounts& now, const JudgePolicy& policy) {
  const auto margin = int(policy.within_device_margin_uoct / bucket_uoct);
  const auto slower = [&](const QuantilePolicy& quantile) {
    const double kappa = kappa_for(double(quantile.resolutions.back()), double(policy.alpha_ppm) / million);
    return unats(
        log_e_quantile_slower(before.latency, now.latency, double(quantile.quantile_ppm) / million, margin, kappa));
  };
  return {slower(policy.p50), slower(policy.p99)};
}

}  // namespace

std::string_view to_string(FirstSilent value) {
  constexpr std::array<std::string_view, 4> names{"none", "canary", "control", "both"};
  return names[std::size_t(value)];
}

std::int64_t ShareComparison::difference() const {
  return std::clamp((canary_now - control_now) - (canary_before - control_before), -million, million);
}

std::int64_t log2_quantile_uoct(const ExpHistogram& sketch, std::int64_t quantile_ppm) {
  const std::int64_t lowest = bucket_uoct * ExpHistogram::index_min;
  const double rank = double(quantile_ppm) / million * double(sketch.count());
  double seen = double(sketch.zero_count());
  if (sketch.count() == 0 || rank <= seen) return lowest;
  std::int64_t upper = lowest;
  for (std::size_t i = 0; i < sketch.counts().size(); ++i) {
    const auto in_bucket = double(sketch.counts()[i]);
    if (in_bucket == 0) continue;
    const std::int64_t lower = bucket_uoct * (sketch.offset() + std::int64_t(i));
    if (seen + in_bucket >= rank) return lower + std::llround(double(bucket_uoct) * ((rank - seen) / in_bucket));
    seen += in_bucket;
    upper = lower + bucket_uoct;
  }
  return upper;
}

PairEvidence observe(PairEvidence so_far, const PairBaseline& baseline, const PairLook& look, const JudgePolicy& policy,
                     bool small_fleet) {
  if (!look.started) return so_far;
  so_far.started = true;
  note_silence(so_far, look, policy);
  std::string digest;
  compare_latency(so_far, baseline, look, policy.p50, digest);
  compare_latency(so_far, baseline, look, policy.p99, digest);
  // Quantiles mature in turns; the record's order must not tell when.
  std::sort(so_far.latency.begin(), so_far.latency.end(), [](const LatencyComparison& a, const LatencyComparison& b) {
    return std::pair(a.quantile_ppm, a.resolution) < std::pair(b.quantile_ppm, b.resolution);
  });
  const DeviceCounts &canary = look.canary.counts, &control = look.control.counts;
  compare_shares(so_far.errors, {errors_of(baseline.canary), errors_of(baseline.control)},
                 {errors_of(canary), errors_of(control)}, policy.errors);
  compare_shares(so_far.accuracy, {mistakes_of(baseline.canary), mistakes_of(baseline.control)},
                 {mistakes_of(canary), mistakes_of(control)}, policy.accuracy);
  if (small_fleet) so_far.within = own_past(baseline.canary, canary, policy);
  return so_far;
}

}  // namespace ferry::telemetry
