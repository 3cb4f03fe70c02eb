// Recent predictions, so that a label that comes late can be counted: bounded, the oldest is forgotten.
#pragma once
#include "agent/activator.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::agent {

constexpr std::size_t feedback_ring_size = 4096;

// Not thread-safe: it lives on the io thread.
class FeedbackRing {
 public:
  struct Entry {
    std::uint64_t number = 0;     // 0: never used
    std::int64_t predicted = -1;  // the class; -1: the model has none
    std::shared_ptr<const SlotContents> release;
    bool labelled = false;
    std::chrono::nanoseconds at{0};  // monotonic, of the prediction
  };
  explicit FeedbackRing(std::string boot) : boot_(std::move(boot)), entries_(feedback_ring_size) {}

  // "<boot>-<n>", n from 1.
  std::string add(std::shared_ptr<const SlotContents> release, std::int64_t predicted,
                  std::chrono::nanoseconds at = {});
  // Null: another boot's, malformed, or overwritten. Valid until the next add().
  Entry* find(std::string_view prediction_id);

 private:
  std::string boot_;
  std::vector<Entry> entries_;
  std::uint64_t last_ = 0;
};

}  // namespace ferry::agent
