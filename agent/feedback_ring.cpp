// A prediction's number says where it lies; whether it is still the same one is checked.
#include "agent/feedback_ring.hpp"

#include <charconv>

namespace ferry::agent {

std::string FeedbackRing::add(std::shared_ptr<const SlotContents> release, std::int64_t predicted,
                              std::chrono::nanoseconds at) {
  ++last_;
  entries_[last_ % feedback_ring_size] = {last_, predicted, std::move(release), false, at};
  return boot_ + "-" + std::to_string(last_);
}

FeedbackRing::Entry* FeedbackRing::find(std::string_view prediction_id) {
  if (!prediction_id.starts_with(boot_) || prediction_id.size() <= boot_.size() + 1) return nullptr;
  if (prediction_id[boot_.size()] != '-') return nullptr;
  auto digits = prediction_id.substr(boot_.size() + 1);
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '0') return nullptr;
  auto& entry = entries_[number % feedback_ring_size];
  return entry.number == number ? &entry : nullptr;
}

}  // namespace ferry::agent
