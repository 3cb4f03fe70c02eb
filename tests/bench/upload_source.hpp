// Telemetry of a fleet as HTTP requests: the same windows as OTLP for ferryd, and as text or OTLP for whoever keeps
// series.
#pragma once
#include "telemetry/recorder.hpp"
#include "tests/bench/tls_load.hpp"

#include <deque>

namespace ferry::bench {

enum class UploadForm {
  ferry,  // OTLP, delta, gzip: what an agent sends to ferryd
  text,   // Prometheus text, not compressed: the cheapest to read
  otlp,   // OTLP, totals, gzip: what an agent sends to another receiver
};

struct UploadOrigin {
  telemetry::ReleaseKey key;
  telemetry::Edges edges;  // of the release's own reference profile
};

// One device per connection, each with windows of its own: some hundred inferences of a ten-class model, every label
// and histogram of an ordinary release. Numbered from 1, a second apart.
class UploadSource final : public RequestSource {
 public:
  UploadSource(UploadForm form, std::string path, std::size_t devices, const UploadOrigin& origin);
  // Makes so many more for each connection, so that the client does nothing but send while it is timed.
  void prepare(std::size_t each);
  std::string next(std::size_t connection) override;
  std::size_t left() const;                         // of all connections
  double text_samples() const { return samples_; }  // of one window, as text

 private:
  struct Device {
    telemetry::WindowReport report;
    std::vector<telemetry::ReleaseWindow> windows;  // taken in turns
    std::deque<std::string> waiting;
  };
  std::string request_of(Device& device);

  const UploadForm form_;
  const std::string path_;
  std::vector<Device> devices_;
  double samples_ = 0;
};

}  // namespace ferry::bench
