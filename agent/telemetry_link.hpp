// From answered requests to the server: records, closes a window per interval, spools it, uploads what is spooled.
#pragma once
#include "agent/config.hpp"
#include "agent/reporter.hpp"
#include "agent/serving.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/spool.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <set>

namespace ferry::agent {

// on_* on serving threads; upload() on one thread, the poll loop's or the collector's; the rest from any.
class TelemetryLink final : public InferenceObserver, public Uploader {
 public:
  // `database`, `clock` and `log` outlive it. With a collector's URL windows wait for that one instead of the server.
  static Result<std::unique_ptr<TelemetryLink>> open(const Identity& identity, std::string boot, Database& database,
                                                     Clock& clock, Log& log, const CollectorConfig& collector = {},
                                                     const TelemetryConfig& limits = {});
  // Before the first inference. `wake`: upload() should be called soon, from a serving thread, returns at once.
  // `alarm`: an event of kind alarm, from the uploading thread.
  void on_wake(std::function<void()> wake) { wake_ = std::move(wake); }
  void on_alarm(std::function<void(const Json& event)> alarm) { alarm_ = std::move(alarm); }

  void on_inference(const InferenceSample& sample) override;
  void on_label(const LabelSample& sample) override;
  void on_unjoinable_label(const SlotContents& release) override;
  void on_refused_request(const SlotContents& release) override;
  void on_shadow(const ShadowSample& sample) override;
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
                const CollectorConfig& collector, const TelemetryConfig& limits);
  // A release as serving knows it and as telemetry does. Made once, never changed, so that it is found without a lock.
  struct Known {
    SlotContents release;
    telemetry::ReleaseKey key;
    std::vector<std::string> tensors;  // of the contract, as telemetry calls them
  };
  static constexpr std::size_t known_max = 256;  // releases in their roles that one process ever serves
  const Known& known(const SlotContents& release);
  std::size_t look_at_inputs(const Known& release, const InferenceSample& sample,
                             std::span<telemetry::InputSeen> seen) const;
  Result<> spool_closed();
  void raise_alarms();

  const std::string url_, install_, boot_;
  std::map<std::string, std::string> headers_;
  Clock& clock_;
  Log& log_;
  telemetry::Recorder recorder_;
  std::function<void()> wake_;
  std::function<void(const Json&)> alarm_;
  std::set<std::string> raised_;            // alarms of this process's life; uploading thread only
  std::atomic<std::uint64_t> findings_{0};  // outputs and inputs that are not as they should be
  std::atomic<bool> full_{false};           // a window closed before its time waits for the disk
  mutable std::mutex mutex_;                // guards spool_, budget_, interval_, window_end_
  telemetry::ByteBudget budget_;
  telemetry::Spool spool_;
  Duration interval_{std::chrono::seconds{60}};
  std::chrono::nanoseconds window_end_{0};
  std::mutex known_mutex_;  // held while a release becomes known
  std::array<std::unique_ptr<const Known>, known_max> known_;
  std::atomic<std::size_t> known_count_{0};  // those before it are complete
};

}  // namespace ferry::agent
