// What handlers work with: references to the one of each that the composition root made (app.cpp).
#pragma once
#include "server/auth/access.hpp"
#include "server/config.hpp"
#include "server/drift/drift_monitor.hpp"
#include "server/enrolment/enrolment.hpp"
#include "server/fleet/assignments.hpp"
#include "server/fleet/device_reports.hpp"
#include "server/live/event_hub.hpp"
#include "server/metrics.hpp"
#include "server/rollout/rollout_controller.hpp"
#include "server/static_files.hpp"
#include "server/store/telemetry.hpp"
#include "server/telemetry_intake.hpp"
#include "server/trust/trust_store.hpp"

namespace ferry::server {

inline constexpr std::string_view server_version = "0.1.0";

struct Services {
  const Config& config;
  Clock& clock;
  Random& random;
  Log& log;
  Database& database;
  const CertificateAuthority& authority;
  Fleet& fleet;
  Access& access;
  Enrolment& enrolment;
  DeviceReports& reports;
  TrustStore& trust;
  BlobStore& blobs;
  ReleaseStore& releases;
  RolloutController& rollouts;
  Assignments& assignments;
  TelemetryStore& telemetry;
  DriftMonitor& drift;
  TelemetryIntake& intake;
  std::shared_ptr<EventHub> hub;
  Metrics& metrics;
  const StaticFiles& ui;
  std::string device_url;  // set once the listeners are bound, before the first request matters
  std::atomic<bool> draining{false};

  std::int64_t now_ms() const { return to_unix_ms(clock.now()); }
};

}  // namespace ferry::server
