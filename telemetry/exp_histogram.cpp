#include "telemetry/exp_histogram.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace ferry::telemetry {
namespace {

constexpr int buckets_per_octave = 1 << ExpHistogram::scale;

// An octave, in fractions as frexp gives them: [0.5, 1). Comparing with a table keeps edges exact where floor(log2)
// would round. An octave is cut into slices by the first bits of the fraction, narrower than any bucket, so that in
// each at most one edge is left to compare with.
constexpr int slice_bits = 8;
struct Octave {
  std::array<double, buckets_per_octave + 1> edges{};        // lower edges 0.5 * 2^(k/32), and 1
  std::array<std::uint8_t, 1 << slice_bits> edges_before{};  // less than the slice's begin
};
const Octave& octave() {
  static const auto octave = [] {
    Octave made;
    for (int k = 0; k <= buckets_per_octave; ++k)
      made.edges[std::size_t(k)] = 0.5 * std::exp2(double(k) / buckets_per_octave);
    for (std::size_t slice = 0; slice < made.edges_before.size(); ++slice) {
      const double begin = 0.5 + double(slice) / double(2 * made.edges_before.size());
      const auto edge = std::lower_bound(made.edges.begin(), made.edges.end(), begin);
      made.edges_before[slice] = std::uint8_t(edge - made.edges.begin());
    }
    return made;
  }();
  return octave;
}

constexpr int fraction_bits = 52;  // of a double's 64; above them its exponent, whose 1022 is that of [0.5, 1)
constexpr std::uint64_t fraction_mask = (std::uint64_t{1} << fraction_bits) - 1;
constexpr int half_exponent = 1022;

}  // namespace

int ExpHistogram::index_of(double value) {
  int exponent = 0;
  // What frexp() does, without the call; a subnormal number has no exponent of its own and is scaled up first.
  if (value < std::numeric_limits<double>::min()) value = std::ldexp(value, fraction_bits), exponent = -fraction_bits;
  const auto bits = std::bit_cast<std::uint64_t>(value);
  exponent += int(bits >> fraction_bits) - half_exponent;
  const auto fraction = std::bit_cast<double>((bits & fraction_mask) | (std::uint64_t{half_exponent} << fraction_bits));
  // Buckets are open below and closed above: the first edge not less than the fraction ends its bucket.
  const Octave& here = octave();
  const std::size_t before = here.edges_before[(bits & fraction_mask) >> (fraction_bits - slice_bits)];
  const int edge = int(before) + int(here.edges[before] < fraction);
  return ((exponent - 1) * buckets_per_octave) + edge - 1;
}

double ExpHistogram::lower_edge(int index) { return std::exp2(double(index) / buckets_per_octave); }

std::uint64_t& ExpHistogram::slot(int index) {
  if (counts_.empty()) {
    offset_ = index;
    counts_.push_back(0);
  } else if (index < offset_) {
    counts_.insert(counts_.begin(), std::size_t(offset_ - index), 0);
    offset_ = index;
  } else if (index >= offset_ + int(counts_.size())) {
    counts_.resize(std::size_t(index - offset_) + 1);
  }
  return counts_[std::size_t(index - offset_)];
}

void ExpHistogram::record(double seconds) {
  const bool first = count_ == 0;
  ++count_;
  if (!(seconds > 0) || !std::isfinite(seconds)) {
    ++zero_count_;
    seconds = 0;
  } else {
    const int index = index_of(seconds);
    const int clamped = std::clamp(index, index_min, index_max);
    if (clamped != index) ++clamped_;
    ++slot(clamped);
    sum_ += seconds;
  }
  min_ = first ? seconds : std::min(min_, seconds);
  max_ = first ? seconds : std::max(max_, seconds);
}

void ExpHistogram::merge(const ExpHistogram& other) {
  if (other.count_ == 0) return;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  count_ += other.count_;
  zero_count_ += other.zero_count_;
  clamped_ += other.clamped_;
  sum_ += other.sum_;
  for (std::size_t i = 0; i < other.counts_.size(); ++i) {
    if (other.counts_[i] > 0) slot(other.offset_ + int(i)) += other.counts_[i];
  }
}

void ExpHistogram::round_to(int digits) {
  for (double* value : {&sum_, &min_, &max_}) {
    int exponent = 0;
    const double fraction = std::frexp(*value, &exponent);
    *value = std::ldexp(std::round(std::ldexp(fraction, digits)), exponent - digits);
  }
}

double ExpHistogram::quantile(double p) const {
  if (count_ == 0) return 0;
  const auto rank = std::max<std::uint64_t>(1, std::uint64_t(std::ceil(p * double(count_))));
  std::uint64_t seen = zero_count_;
  if (seen >= rank) return 0;
  static const double base = lower_edge(1);
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return 2 * lower_edge(offset_ + int(i)) * base / (1 + base);
  }
  return max_;
}

std::uint64_t ExpHistogram::count_up_to(int index) const {
  std::uint64_t total = zero_count_;
  for (int i = offset_; i <= index && i < offset_ + int(counts_.size()); ++i)
    total += counts_[std::size_t(i - offset_)];
  return total;
}

Result<ExpHistogram> ExpHistogram::from_parts(int offset, std::vector<std::uint64_t> counts, std::uint64_t zero_count,
                                              std::uint64_t count, double sum, double min, double max) {
  if (counts.size() > buckets_max ||
      (!counts.empty() && (offset < index_min || offset > index_max || offset + int(counts.size()) - 1 > index_max))) {
    return Error{Errc::bad_input, "exponential histogram: buckets outside 2^-20..2^7 s at scale 5"};
  }
  constexpr std::uint64_t count_max = std::uint64_t{1} << 53;  // no fleet is larger; sums cannot overflow
  if (zero_count > count_max) return Error{Errc::bad_input, "exponential histogram: zero_count too large"};
  std::uint64_t total = zero_count;
  for (const std::uint64_t bucket : counts) {
    if (bucket > count_max || (total += bucket) > count_max) {
      return Error{Errc::bad_input, "exponential histogram: a bucket count is too large"};
    }
  }
  if (total != count) return Error{Errc::bad_input, "exponential histogram: count differs from the sum of its buckets"};
  if (!std::isfinite(sum) || sum < 0 || !std::isfinite(min) || !std::isfinite(max) || min < 0 || max < min) {
    return Error{Errc::bad_input, "exponential histogram: sum, min or max is not a sane duration"};
  }
  ExpHistogram made;
  made.count_ = count;
  made.zero_count_ = zero_count;
  made.sum_ = sum;
  made.min_ = count == 0 ? 0 : min;
  made.max_ = count == 0 ? 0 : max;
  made.offset_ = counts.empty() ? 0 : offset;
  made.counts_ = std::move(counts);
  return made;
}

}  // namespace ferry::telemetry
