// From answered requests to the server: records, closes a window per interval, spools it, uploads what is spooled.
#pragma once
#include "agent/config.hpp"
#include "agent/reporter.hpp"
#include "agent/serving.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/spool.hpp"

#include <mutex>
#include <set>

namespace ferry::agent {

// on_* on serving threads; upload() on one thread, the poll loop's or the collector's; the rest from any.
class TelemetryLink final : public InferenceObserver, public Uploader {
 public:
  // `database`, `clock` and `log` outlive it. With a collector's URL windows wait for that one instead of the server.
  static Result<std::unique_ptr<TelemetryLink>> open(const Identity& identity, std::string boot, Database& database,
                                                     Clock& clock, Log& log, const CollectorConfig& collector = {});

  void on_inference(const InferenceSample& sample) override;
  void on_label(const LabelSample& sample) override;
  void on_worker_memory(const SlotContents& release, std::uint64_t bytes) override;

  Result<> upload(HttpClient& http) override;
  Duration due_in() const override;
  void set_interval(Duration interval);
  // Into the spool when its time is over; upload() does it first. Trouble is logged.
  void close_due_window();
  // What was recorded since the last window, into the spool: at a graceful end.
  Result<> close_window();
  Result<telemetry::Spool::Counts> counts();

 private:
  TelemetryLink(const Identity& identity, std::string boot, telemetry::Spool spool, Clock& clock, Log& log,
                const CollectorConfig& collector);
  telemetry::ReleaseKey key_of(const SlotContents& release);

  const std::string url_, install_, boot_;
  std::map<std::string, std::string> headers_;
  Clock& clock_;
  Log& log_;
  telemetry::Recorder recorder_;
  mutable std::mutex mutex_;  // guards spool_, interval_, window_end_
  telemetry::Spool spool_;
  Duration interval_{std::chrono::seconds{60}};
  std::chrono::nanoseconds window_end_{0};
  std::mutex described_mutex_;  // guards described_
  std::set<Digest> described_;  // releases whose histogram edges the recorder knows
};

}  // namespace ferry::agent
