// A small fleet, published releases with references, and the monitor over one database that can be closed, opened again
// and made to die.
#pragma once
#include "server/drift/drift_monitor.hpp"
#include "tests/server/core_fixture.hpp"
#include "tests/server/publisher.hpp"
#include "tests/telemetry/drift_fixture.hpp"

namespace ferry::server::test {

using ferry::test::as_release_window;
using ferry::test::Draws;
using ferry::test::drift_reference;
using ferry::test::drift_window;
using telemetry::DriftCounts;
using telemetry::DriftFeature;
using telemetry::DriftLevel;
using telemetry::ReferenceProfile;

class DriftWorld {
 public:
  static constexpr const char* model = Publisher::model;

  explicit DriftWorld(bool on_disk = false)
      : on_disk_(on_disk),
        null_(::open("/dev/null", O_WRONLY | O_CLOEXEC)),
        log(clock, null_.get(), LogFormat::json, LogLevel::error),
        publisher(clock.now()) {
    blobs.emplace(need(BlobStore::open(dir / "blobs")));
    open();
  }

  void open() {
    if (!real_) real_ = on_disk_ ? open_migrated(dir / "ferry.sqlite") : memory_database();
    database = std::make_unique<MortalDatabase>(*real_);
    hub = std::make_unique<EventHub>(clock);
    releases.emplace(*database);
    gates = std::make_unique<LiveGates>(*database);
    telemetry.emplace(*database);
    monitor = std::make_unique<DriftMonitor>(*database, fleet, *releases, *blobs, *hub, log);
    need(monitor->load());
  }
  // What a killed process leaves: the database.
  void restart() {
    monitor.reset();
    telemetry.reset();
    gates.reset();
    releases.reset();
    hub.reset();
    database.reset();
    if (on_disk_) real_.reset();
    open();
  }

  void publish(const std::string& version, const ReferenceProfile& reference) {
    publisher.reference = telemetry::print_reference_profile(reference);
    const BuiltRelease built = publisher.release(version, ++counter_);
    publisher.accepted(built);
    for (const auto& [digest, bytes] : built.blobs) need(blobs->put(bytes));
    ReleaseRow row;
    row.model = model;
    row.version = version;
    row.counter = counter_;
    row.manifest_sha256 = need(blobs->put(built.request.manifest));
    row.manifest_length = built.request.manifest.size();
    need(releases->insert(row));
    references_[version] = reference;
    manifests_[version] = row.manifest_sha256.hex();
  }
  const ReferenceProfile& reference(const std::string& version) const { return references_.at(version); }
  const std::string& manifest(const std::string& version) const { return manifests_.at(version); }

  static std::string id(std::size_t i) { return fmt::format("dev-{:03}", i); }
  void add_devices(std::size_t count, const std::string& hardware_class = "camera") {
    for (std::size_t i = 0; i < count; ++i) add_device(id(fleet.size()), hardware_class);
  }
  void add_device(const std::string& name, const std::string& hardware_class) {
    DeviceRow row;
    row.id = name;
    row.labels = "{}";
    fleet.add(row);
    set_class(name, hardware_class);
  }
  void set_class(const std::string& name, const std::string& hardware_class) {
    fleet.find(name)->change([&](DeviceFacts& facts) { facts.hardware_class = hardware_class; });
  }

  telemetry::ReleaseWindow window(const std::string& version, const DriftCounts& counts) const {
    telemetry::ReleaseWindow made = as_release_window(reference(version), counts);
    made.key = {model, version, manifest(version), "a", "", "none"};
    return made;
  }
  telemetry::WindowReport report(std::vector<telemetry::ReleaseWindow> windows) {
    telemetry::WindowReport made;
    made.install = "in-1";
    made.boot = "boot-1";
    made.seq = ++sequence_;
    made.end_unix_ms = now_ms();
    made.start_unix_ms = made.end_unix_ms - 10'000;
    made.releases = std::move(windows);
    return made;
  }
  Result<UploadVerdict> send(const std::string& device, const telemetry::WindowReport& what) {
    return monitor->apply(*gates, *telemetry, device, what, now_ms());
  }
  void upload(const std::string& device, const std::string& version, const DriftCounts& counts) {
    REQUIRE(need(send(device, report({window(version, counts)}))) == UploadVerdict::applied);
  }
  // `n` predictions drawn as the reference expects them, a share of them `off`.
  void upload(const std::string& device, const std::string& version, std::size_t n, double off = 0) {
    upload(device, version, drift_window(draws, reference(version), n, off));
  }
  void pass(Duration time) { clock.advance(time); }
  std::int64_t now_ms() const { return to_unix_ms(clock.now()); }

  std::string class_cohort(const std::string& version, const std::string& hardware_class = "camera") const {
    return cohort_id({model, version, manifest(version), hardware_class, "", "none"});
  }
  std::string arm_cohort(const std::string& version, const std::string& rollout, const std::string& arm) const {
    return cohort_id({model, version, manifest(version), "", rollout, arm});
  }
  std::optional<CohortView> view(const std::string& cohort) {
    for (CohortView& one : monitor->cohorts("", now_ms()))
      if (one.id == cohort) return std::move(one);
    return std::nullopt;
  }
  DriftLevel level(const std::string& cohort) { return view(cohort).value_or(CohortView{}).state.level(); }
  std::vector<Json> windows(const std::string& cohort) {
    std::vector<Json> list;
    for (const std::string& body : need(monitor->windows(cohort, 0, drift_windows_max)))
      list.push_back(need(parse_json(body)));
    return list;
  }
  // All of the tables of drift: what a restart has to go on from.
  std::string dump() {
    std::string text;
    for (const char* table : {"drift_cohorts", "drift_devices", "drift_windows"}) {
      const auto rows = need(real_->query(std::string("select * from ") + table + " order by 1, 2"));
      for (const Row& row : rows) {
        text += table;
        for (std::size_t i = 0; i < row.size(); ++i) text += "|" + row.text(i) + ":" + std::to_string(row.integer(i));
        text += "\n";
      }
    }
    return text;
  }

  ferry::test::TempDir dir;
  SimClock clock;
  Fleet fleet;
  Draws draws{11};

 private:
  bool on_disk_;
  FileDescriptor null_;
  std::unique_ptr<Database> real_;
  std::map<std::string, ReferenceProfile> references_;
  std::map<std::string, std::string> manifests_;
  std::int64_t counter_ = 0;
  std::uint64_t sequence_ = 0;

 public:
  Log log;
  Publisher publisher;
  std::optional<BlobStore> blobs;
  std::unique_ptr<MortalDatabase> database;
  std::unique_ptr<EventHub> hub;
  std::optional<ReleaseStore> releases;
  std::unique_ptr<LiveGates> gates;
  std::optional<TelemetryStore> telemetry;
  std::unique_ptr<DriftMonitor> monitor;
};

}  // namespace ferry::server::test
