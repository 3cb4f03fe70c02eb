// What live gates keep: pairs, verdicts, baselines, and windows that can always be read again.
#include "server/store/gates.hpp"

#include "server/store/baselines.hpp"
#include "server/store/packed_window.hpp"
#include "telemetry/otlp.hpp"
#include "tests/server/store/store_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using telemetry::ReleaseWindow;

namespace {

ReleaseWindow window(int inferences, const std::string& version = "1.0.0") {
  ReleaseWindow made;
  made.key = {"m", version, std::string(64, 'a'), "a", "", "none"};
  for (int i = 0; i < inferences; ++i) made.duration.record(0.002);
  return made;
}

std::unique_ptr<Database> database_with_rollout() {
  auto database = memory_database();
  need(database->query("insert into rollouts (id, model, created_ms, plan, head) values ('ro-1', 'm', 1, '{}', '{}')"));
  return database;
}

}  // namespace

TEST_CASE("a stored window reads back as a release's, whatever its errors were called") {
  ReleaseWindow many = window(3);
  many.key.slot = "b";
  many.key.rollout = "ro-1";
  many.key.arm = "canary";
  for (std::size_t i = 0; i < 3 * telemetry::error_types_max; ++i) many.errors["e" + std::to_string(i)] = 2;
  const ReleaseWindow back = need(unpack_window(need(pack_window(many)).bytes));
  CHECK(back.key == telemetry::ReleaseKey{"m", "1.0.0", std::string(64, 'a'), "a", "", "none"});
  CHECK(back.duration == many.duration);
  CHECK(back.errors.size() == telemetry::error_types_max);
  CHECK(back.error_count() == many.error_count());
  CHECK(need(unpack_window_or_empty("")).key.model.empty());
  CHECK_FALSE(unpack_window(""));
  CHECK_FALSE(unpack_window("nonsense"));
}

TEST_CASE("a window that could not be read again is not stored") {
  ReleaseWindow wide = window(1);
  wide.classes.assign(telemetry::classes_max, 1'000'000);
  std::vector<double> bounds(9'000);
  for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = static_cast<double>(i);
  for (auto* histogram : {&wide.confidence, &wide.mnlp}) {
    *histogram = telemetry::BoundedHistogram(bounds);
    for (double bound : bounds) histogram->record(bound);
  }
  const auto packed = pack_window(wide);
  REQUIRE_FALSE(packed);
  CHECK(packed.error().code == Errc::bad_input);
  CHECK_THAT(packed.error().context, Catch::Contains("m 1.0.0"));
  auto database = database_with_rollout();
  GateStore store(*database);
  need(store.insert("ro-1", GatePairRow{}));
  GatePairRow row;
  row.canary_now = wide;
  CHECK_FALSE(store.set_now("ro-1", row));
  CHECK(need(store.load("ro-1")).size() == 1);  // and what is stored can be read at the next start
}

TEST_CASE("a pair is stored with its start, what it showed before and since, and its evidence") {
  auto database = database_with_rollout();
  GateStore store(*database);
  for (std::int64_t number : {1, 0}) {
    GatePairRow row;
    row.number = number;
    row.evidence = "{}";
    need(store.insert("ro-1", row));
  }
  GatePairRow row = need(store.load("ro-1")).at(1);
  CHECK(row.number == 1);
  CHECK(row.started_ms == 0);
  CHECK(row.canary_now.key.model.empty());
  row.started_ms = 5;
  row.canary_before = window(1);
  row.control_before = window(2);
  need(store.set_start("ro-1", row));
  row.canary_now = window(3, "1.1.0");
  row.control_now = window(4);
  row.canary_heard_ms = 7;
  row.control_heard_ms = 8;
  need(store.set_now("ro-1", row));
  need(store.set_evidence("ro-1", 1, R"({"x":1})"));
  const auto rows = need(store.load("ro-1"));
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].started_ms == 0);
  CHECK(rows[1].started_ms == 5);
  CHECK(rows[1].canary_before.duration.count() == 1);
  CHECK(rows[1].control_before.duration.count() == 2);
  CHECK(rows[1].canary_now.duration.count() == 3);
  CHECK(rows[1].control_now.duration.count() == 4);
  CHECK(rows[1].canary_heard_ms == 7);
  CHECK(rows[1].control_heard_ms == 8);
  CHECK(rows[1].evidence == R"({"x":1})");
  CHECK(need(store.load("ro-2")).empty());
}

TEST_CASE("verdicts are kept newest first, the newest fifty") {
  auto database = database_with_rollout();
  GateStore store(*database);
  for (std::int64_t i = 0; i < verdict_records_max + 7; ++i)
    need(store.add_verdict("ro-1", {i, "hold", "body " + std::to_string(i)}));
  const auto verdicts = need(store.verdicts("ro-1", 1000));
  CHECK(verdicts.size() == static_cast<std::size_t>(verdict_records_max));
  CHECK(verdicts.front().body == "body 56");
  CHECK(verdicts.back().at_ms == 7);
  CHECK(need(store.verdicts("ro-1", 3)).size() == 3);
  CHECK(need(store.verdicts("ro-2", 3)).empty());
}

TEST_CASE("a device's baseline is its last hours: the open half and the one before") {
  auto database = memory_database();
  BaselineStore store(*database);
  const auto count = [&] { return need(store.of("dev-1", "m", "1.0.0")).duration.count(); };
  CHECK(count() == 0);
  need(store.add("dev-1", window(10), 0));
  need(store.add("dev-1", window(20), 1000));
  CHECK(count() == 30);
  need(store.add("dev-1", window(5), baseline_half_ms));  // the first half is closed by its age
  CHECK(count() == 35);
  need(store.add("dev-1", window(7), 2 * baseline_half_ms));
  CHECK(count() == 12);
  need(store.add("dev-1", window(static_cast<int>(baseline_half_inferences)), 2 * baseline_half_ms + 1));
  CHECK(count() == 5 + 7 + baseline_half_inferences);
  need(store.add("dev-1", window(1), 2 * baseline_half_ms + 2));  // and the next one by its size
  CHECK(count() == 7 + baseline_half_inferences + 1);
  CHECK(need(store.of("dev-2", "m", "1.0.0")).duration.count() == 0);
  CHECK(need(store.of("dev-1", "m", "1.1.0")).duration.count() == 0);
}

TEST_CASE("baselines are kept for the newest releases of a device") {
  auto database = memory_database();
  BaselineStore store(*database);
  for (std::int64_t i = 0; i < baselines_per_device_max + 2; ++i)
    need(store.add("dev-1", window(1, "1.0." + std::to_string(i)), i));
  CHECK(need(store.of("dev-1", "m", "1.0.0")).duration.count() == 0);
  CHECK(need(store.of("dev-1", "m", "1.0.1")).duration.count() == 0);
  CHECK(need(store.of("dev-1", "m", "1.0.2")).duration.count() == 1);
}
