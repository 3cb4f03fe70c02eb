#include "telemetry/sanity.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ferry::telemetry {
namespace {

// Rounding may make a sum leave its bounds by this share; it adds up like the sums do, so merged ones stay within.
constexpr double sum_slack = 1e-6;

bool letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

void InputStats::merge(const InputStats& other) {
  tensors += other.tensors;
  with_nan += other.with_nan;
  with_infinity += other.with_infinity;
  constant += other.constant;
  out_of_range += other.out_of_range;
  if (other.values == 0) return;
  min = values == 0 ? other.min : std::min(min, other.min);
  max = values == 0 ? other.max : std::max(max, other.max);
  values += other.values;
  sum += other.sum;
  squares += other.squares;
}

double InputStats::squared_deviation() const {
  return values == 0 ? 0 : std::max(0.0, squares - sum * sum / double(values));
}

bool InputStats::sound() const {
  if (std::max({with_nan, with_infinity, constant, out_of_range}) > tensors) return false;
  if (values == 0) return sum == 0 && squares == 0 && min == 0 && max == 0;
  if (tensors == 0) return false;
  for (const double number : {sum, squares, min, max})
    if (!std::isfinite(number)) return false;
  const double largest = std::max(std::fabs(min), std::fabs(max));
  if (largest > input_value_max || min > max || squares < 0) return false;
  const double count = double(values);
  const double slack = sum_slack * largest * count;
  if (sum < min * count - slack || sum > max * count + slack) return false;
  if (squares > largest * largest * count * (1 + sum_slack)) return false;
  return sum * sum <= count * squares * (1 + sum_slack);
}

void ShadowAgreement::add(std::uint32_t older_class, std::uint32_t newer_class, double gap) {
  gap_sum += gap;
  if (older_class == newer_class) {
    ++agreed;
    return;
  }
  ShadowAgreement one;
  one.disagreed[{older_class, newer_class}] = 1;
  merge(one);
}

void ShadowAgreement::merge(const ShadowAgreement& other) {
  agreed += other.agreed;
  gap_sum += other.gap_sum;
  for (const auto& [pair, count] : other.disagreed) {
    const bool fits = disagreed.contains(pair) || disagreed.size() + 1 < confusions_max;
    disagreed[fits ? pair : other_confusion] += count;
  }
}

std::uint64_t ShadowAgreement::disagreements() const {
  return std::accumulate(disagreed.begin(), disagreed.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

int delay_octave(double seconds) {
  int octave = 0;
  while (octave + 1 < int(delay_octaves_max) && seconds > std::ldexp(1, octave + 1)) ++octave;
  return octave;
}

bool plain_tensor_name(std::string_view name) {
  if (name.empty() || name.size() > tensor_name_bytes_max) return false;
  if (!letter_or_digit(name[0]) && name[0] != '_' && name[0] != '/') return false;
  return std::ranges::all_of(
      name, [](char c) { return letter_or_digit(c) || std::string_view("._:/-").find(c) != std::string_view::npos; });
}

bool plain_error_type(std::string_view type) {
  if (type.empty() || type.size() > error_type_bytes_max || type.back() == '.') return false;
  char before = '.';
  for (const char c : type) {
    const bool letter = c >= 'a' && c <= 'z';
    const bool more = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
    if (!letter && (!more || before == '.')) return false;
    before = c;
  }
  return true;
}

}  // namespace ferry::telemetry
