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

// One inference, answered or failed. Views live for the call.
struct InputSeen {
  std::string_view tensor;
  InputStats stats;
};
struct InferenceSeen {
  double seconds = 0;
  const Prediction* prediction = nullptr;  // null: not a classifier
  std::string_view error_type;             // empty: answered
  std::span<const InputSeen> inputs;
  OutputFindings outputs;
};

// What a release has shown since the agent started: what hard alarms are decided on (alarm.hpp).
struct SanityTotals {
  ReleaseKey key;  // of its latest inference
  std::uint64_t answered = 0, errors = 0;
  std::uint64_t output_nan = 0;  // of the answered
  std::uint64_t inputs = 0, inputs_nan = 0, inputs_out_of_range = 0;
};

// Thread-safe. An inference costs well below a microsecond.
class Recorder {
 public:
  static constexpr std::size_t releases_max = 8;         // more keys in one window are counted as dropped
  static constexpr std::size_t closed_windows_max = 16;  // waiting for the disk; beyond that they become longer
  static constexpr std::uint64_t window_inferences_max_default = 100'000;

  explicit Recorder(std::uint64_t window_inferences_max = window_inferences_max_default)
      : window_inferences_max_(window_inferences_max) {}

  // Must precede recordings for `key`'s model and version to have effect on their edges and class count.
  void describe(const ReleaseKey& key, std::size_t classes, Edges edges);
  // True when the open window has as many inferences as it may hold: close it.
  bool record(const ReleaseKey& key, const InferenceSeen& seen);
  // `prediction` null: not a classifier.
  void inference(const ReleaseKey& key, double seconds, const Prediction* prediction);
  void error(const ReleaseKey& key, const std::string& type);
  // `delay_s`: since the prediction; negative: unknown.
  void label(const ReleaseKey& key, const std::string& source, bool correct, double delay_s = -1);
  void unjoinable_label(const ReleaseKey& key);
  void refused_request(const ReleaseKey& key);
  void shadowed(const ReleaseKey& key, const std::string& against, std::uint32_t older_class, std::uint32_t newer_class,
                double gap);
  void worker_memory(const ReleaseKey& key, std::uint64_t bytes);

  // Everything in the open window, without install, boot and seq; releases is empty when nothing happened.
  WindowReport take(std::int64_t now_unix_ms);
  // The open window joins the closed ones, unless nothing happened.
  void close(std::int64_t now_unix_ms);
  // The closed windows, oldest first; they are the caller's from here on.
  std::vector<WindowReport> take_closed();
  // What could not be kept elsewhere: the oldest first, before whatever was closed meanwhile.
  void put_back(std::vector<WindowReport> windows);

  std::vector<SanityTotals> sanity() const;

 private:
  struct Described {
    std::size_t classes = 0;
    Edges edges;
    SanityTotals totals;
  };
  struct Open {
    ReleaseWindow window;
    Described* release = nullptr;
  };
  Open* find(const ReleaseKey& key);
  void forget_releases_but(const std::string& coming);
  WindowReport take_locked(std::int64_t now_unix_ms);
  void bound_closed();

  const std::uint64_t window_inferences_max_;
  mutable std::mutex mutex_;  // guards all below
  std::map<ReleaseKey, Open> windows_;
  Open* latest_ = nullptr;                                 // of windows_: nearly every inference is of the same release
  std::uint64_t inferences_ = 0, dropped_inferences_ = 0;  // in the open window; with no place in it
  std::map<std::string, Described> described_;             // by manifest digest
  std::vector<WindowReport> closed_;
  std::int64_t start_unix_ms_ = 0;
};

}  // namespace ferry::telemetry
