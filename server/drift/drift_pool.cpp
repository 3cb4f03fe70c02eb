#include "server/drift/drift_pool.hpp"

#include "common/crypto.hpp"

#include <algorithm>
#include <map>
#include <random>

namespace ferry::server {
namespace {

using telemetry::DriftFeature;
using Counts = std::vector<std::uint64_t>;

constexpr std::string_view audited_source = "audit";  // labels chosen before the outcome was known: no others count
constexpr double rounding = 1e-9;                     // equal devices are within their share

// One histogram of all devices; notes whose part of it counts, and whose only in part.
class FeaturePool {
 public:
  FeaturePool(double share, std::uint64_t sum_max, std::string_view seed)
      : share_(share), sum_max_(sum_max), seed_(seed) {}

  void offer(std::string_view device, const Counts& counts) {
    const std::uint64_t total = telemetry::sum_of_counts(counts);
    if (total == 0) return;
    offers_.push_back({device, &counts, total});
    totals_.push_back(total);
  }
  // `cut` gets the devices whose counts are in it, true for those of which only a part is.
  Counts take(std::map<std::string_view, bool>& cut) const {
    Counts sum;
    const std::uint64_t limit = device_limit(totals_, share_, sum_max_);
    if (limit == 0) return sum;
    for (const Offer& offer : offers_) {
      const bool too_many = offer.total > limit;
      cut[offer.device] |= too_many;
      const Counts part =
          too_many ? draw_part(*offer.counts, limit, hash_rank(seed_, offer.device)) : Counts(*offer.counts);
      if (sum.size() < part.size()) sum.resize(part.size());
      for (std::size_t bin = 0; bin < part.size(); ++bin) sum[bin] += part[bin];
    }
    return sum;
  }

 private:
  struct Offer {
    std::string_view device;
    const Counts* counts;
    std::uint64_t total;
  };
  double share_;
  std::uint64_t sum_max_;
  std::string_view seed_;
  std::vector<Offer> offers_;
  std::vector<std::uint64_t> totals_;
};

}  // namespace

double share_max(std::size_t members) {
  if (members <= 1) return 1;
  return std::min(device_share_max, device_weight_max / double(members));
}

void Contribution::add(const Contribution& other) {
  counts.add(other.counts);
  if (other.labels.empty()) return;
  const std::uint64_t had = telemetry::sum_of_counts(labels), more = telemetry::sum_of_counts(other.labels);
  if (more > telemetry::drift_counts_max || had > telemetry::drift_counts_max - more) return;
  labels.resize(label_bins);
  for (std::size_t i = 0; i < label_bins; ++i) labels[i] += other.labels[i];
}

Contribution read_contribution(const telemetry::ReferenceProfile& reference, const telemetry::ReleaseWindow& window) {
  Contribution made;
  made.counts = telemetry::read_drift_counts(reference, window).counts;
  for (const auto& [key, count] : window.labels) {
    if (key.source != audited_source || count == 0) continue;
    made.labels.resize(label_bins);
    made.labels[std::size_t(key.correct ? Label::right : Label::wrong)] += count;
  }
  return made;
}

std::uint64_t device_limit(const std::vector<std::uint64_t>& totals, double share, std::uint64_t sum_max) {
  if (totals.empty()) return 0;
  const std::uint64_t sum_limit = std::max<std::uint64_t>(sum_max, totals.size());
  const auto allowed = [&](std::uint64_t limit) {
    std::uint64_t sum = 0;
    for (const std::uint64_t total : totals) {
      sum += std::min(total, limit);
      if (sum > sum_limit) return false;
    }
    return double(limit) <= share * double(sum) * (1 + rounding);
  };
  // Both conditions hold up to some limit and no further: the sum grows ever more slowly.
  std::uint64_t low = 0, high = *std::max_element(totals.begin(), totals.end());
  while (low < high) {
    const std::uint64_t middle = low + (high - low + 1) / 2;
    if (allowed(middle))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

std::vector<std::uint64_t> draw_part(const std::vector<std::uint64_t>& counts, std::uint64_t count,
                                     std::uint64_t seed) {
  const std::uint64_t sum = telemetry::sum_of_counts(counts);
  if (count >= sum) return counts;
  std::mt19937_64 engine(seed);
  // The smaller of what is taken and what is left is drawn one by one.
  const bool leave = count > sum / 2;
  Counts left = counts, drawn(counts.size());
  std::uint64_t in_left = sum;
  for (std::uint64_t i = leave ? sum - count : count; i > 0; --i) {
    std::uint64_t at = engine() % in_left--;
    std::size_t bin = 0;
    while (at >= left[bin]) at -= left[bin++];
    --left[bin];
    ++drawn[bin];
  }
  return leave ? left : drawn;
}

Pool pool(const std::vector<FromDevice>& devices, std::size_t members, std::uint64_t samples_max,
          std::string_view seed) {
  Pool made;
  const double share = share_max(members);
  std::map<std::string_view, bool> cut;
  for (const DriftFeature feature : telemetry::drift_features) {
    const std::string feature_seed = std::string(seed) + "/" + std::string(telemetry::to_string(feature));
    FeaturePool all(share, samples_max, feature_seed);
    for (const FromDevice& one : devices) all.offer(one.device, one.waiting.counts[feature]);
    made.counts[feature] = all.take(cut);
  }
  made.devices = cut.size();
  made.limited = std::size_t(std::count_if(cut.begin(), cut.end(), [](const auto& entry) { return entry.second; }));
  const std::string label_seed = std::string(seed) + "/labels";
  FeaturePool labels(share, samples_max, label_seed);
  for (const FromDevice& one : devices) labels.offer(one.device, one.waiting.labels);
  std::map<std::string_view, bool> labelled;
  made.labels = labels.take(labelled);
  return made;
}

}  // namespace ferry::server
