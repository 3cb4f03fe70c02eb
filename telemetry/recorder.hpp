// Collects what one device sees, release by release, until the window is taken. Constant memory per release.
#pragma once
#include "telemetry/window.hpp"

#include <cstddef>
#include <mutex>
#include <span>

namespace ferry::telemetry {

// What a classifier's output says, from its logits or probabilities (STATS.md §2.4).
struct Prediction {
  std::size_t top_class = 0;
  double confidence = 0;  // softmax probability of the top class
  double mnlp_bits = 0;   // log2(e) * (logsumexp(z) - mean(z))
};
// `logits` not empty. NaN anywhere: confidence and mnlp are NaN and top_class is 0.
Prediction read_prediction(std::span<const float> logits);

// Histogram edges of a release, from its reference profile; empty: the defaults below.
struct Edges {
  std::vector<double> confidence;
  std::vector<double> mnlp;
};
Edges default_edges();  // 19 edges of equal width in (0, 1), 9 edges 1…9 bits

// Thread-safe.
class Recorder {
 public:
  static constexpr std::size_t releases_max = 8;  // more keys in one window are dropped, counted as errors of none

  // Must precede recordings for `key`'s model and version to have effect on their edges and class count.
  void describe(const ReleaseKey& key, std::size_t classes, Edges edges);
  // `prediction` null: not a classifier.
  void inference(const ReleaseKey& key, double seconds, const Prediction* prediction);
  void error(const ReleaseKey& key, const std::string& type);
  void label(const ReleaseKey& key, const std::string& source, bool correct);
  void worker_memory(const ReleaseKey& key, std::uint64_t bytes);

  // Everything since the last take, without install, boot and seq; releases is empty when nothing happened.
  WindowReport take(std::int64_t now_unix_ms);

 private:
  struct Described {
    std::size_t classes = 0;
    Edges edges;
  };
  ReleaseWindow* find(const ReleaseKey& key);

  std::mutex mutex_;  // guards all below
  std::map<ReleaseKey, ReleaseWindow> windows_;
  std::map<std::string, Described> described_;  // by manifest digest
  std::int64_t start_unix_ms_ = 0;
};

}  // namespace ferry::telemetry
