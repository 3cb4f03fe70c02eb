// Uploads of many devices, committed together: whoever comes while one transaction is written goes along with the next.
// One upload alone waits for nobody.
#pragma once
#include "server/drift/drift_monitor.hpp"

#include <boost/asio/awaitable.hpp>
#include <condition_variable>
#include <span>
#include <thread>

namespace ferry::server {

inline constexpr std::size_t intake_group_max = 256;     // uploads in one transaction
inline constexpr std::size_t intake_waiting_max = 4096;  // the next one is told to come again

// Thread-safe. Everything passed by reference outlives it.
class TelemetryIntake {
 public:
  TelemetryIntake(DriftMonitor& drift, LiveGates& gates, TelemetryStore& store, Clock& clock);
  ~TelemetryIntake();  // takes what waits still

  // Resumes on its own executor when the upload is on disk, or never will be: the errors of DriftMonitor::apply, or
  // unavailable when too many wait. An upload that is refused takes no other with it.
  boost::asio::awaitable<Result<UploadVerdict>> take(std::string device, telemetry::WindowReport report);

 private:
  using Done = std::function<void(Result<UploadVerdict>)>;
  struct Upload {
    std::string device;
    telemetry::WindowReport report;
    Done done;
    Result<UploadVerdict> verdict = UploadVerdict::applied;
  };

  void add(Upload upload);
  void work();
  void store(std::span<Upload> group);
  Result<> commit(std::span<Upload> group);

  DriftMonitor& drift_;
  LiveGates& gates_;
  TelemetryStore& store_;
  Clock& clock_;
  std::mutex mutex_;  // guards waiting_ and ending_
  std::condition_variable wake_;
  std::vector<Upload> waiting_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace ferry::server
