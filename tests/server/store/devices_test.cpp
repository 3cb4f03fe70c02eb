#include "server/store/devices.hpp"

#include "tests/server/store/store_fixture.hpp"

#include <set>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

struct World {
  std::unique_ptr<Database> database = memory_database();
  DeviceStore store{*database};
  World() { need(store.insert({.id = "dev-1", .enrolled_ms = 5, .token = "tok-1"})); }

  std::set<std::string> fingerprints() {
    std::set<std::string> set;
    for (const CertificateRow& row : need(store.certificates())) set.insert(row.fingerprint);
    return set;
  }
  void add_event(std::int64_t seq, const std::string& device = "dev-1") {
    std::vector<EventRow> rows{{.seq = seq, .at_ms = seq, .received_ms = seq, .kind = "started", .body = "{}"}};
    need(store.add_events(device, std::move(rows)));
  }
};

}  // namespace

TEST_CASE("a device is stored with everything that is set about it") {
  World world;
  need(world.store.insert({.id = "dev-2", .state = "active", .labels = R"({"a":"b"})"}));
  need(world.store.set_labels("dev-1", R"({"site":"oslo"})"));
  need(world.store.set_profile("dev-1", R"({"x":1})"));
  need(world.store.set_models("dev-1", R"([{"model":"m"}])"));
  need(world.store.set_alarm("dev-1", 77));
  need(world.store.set_state("dev-1", "revoked"));
  need(world.store.set_last_seen({{"dev-1", 9}, {"dev-unknown", 8}}));
  const auto all = need(world.store.all());
  REQUIRE(all.size() == 2);
  const DeviceRow& row = all[0];
  CHECK(row.id == "dev-1");
  CHECK(row.state == "revoked");
  CHECK(row.enrolled_ms == 5);
  CHECK(row.last_seen_ms == 9);
  CHECK(row.alarm_ms == 77);
  CHECK(row.token == "tok-1");
  CHECK(row.labels == R"({"site":"oslo"})");
  CHECK(row.profile == R"({"x":1})");
  CHECK(row.models == R"([{"model":"m"}])");
  CHECK(all[1].labels == R"({"a":"b"})");
  CHECK(all[1].state == "active");
  CHECK(world.store.insert({.id = "dev-1"}).error().code == Errc::conflict);
}

TEST_CASE("only the newest certificates of a device are kept, and always the one just added") {
  World world;
  need(world.store.insert({.id = "dev-2"}));
  need(world.store.add_certificate({"other", "dev-2", "k", 1, 2}));
  for (int i = 1; i <= certificates_per_device_max + 2; ++i)
    need(world.store.add_certificate({"f" + std::to_string(i), "dev-1", "k", i, i + 100}));
  CHECK(world.fingerprints() == std::set<std::string>{"f3", "f4", "f5", "f6", "other"});
  // Issued in the same instant, or by a clock that was set back: still the one in use.
  need(world.store.add_certificate({"zz", "dev-1", "k", 1, 2}));
  CHECK(world.fingerprints() == std::set<std::string>{"f4", "f5", "f6", "zz", "other"});
  CHECK(world.store.add_certificate({"zz", "dev-1", "k", 1, 2}).error().code == Errc::conflict);
  CHECK(world.store.add_certificate({"yy", "dev-9", "k", 1, 2}).error().code == Errc::conflict);  // of nobody
}

TEST_CASE("applied sequences are kept per device and install; the oldest installs are forgotten") {
  World world;
  CHECK(need(world.store.applied_seq("dev-1", "in-1")) == 0);
  need(world.store.set_applied_seq("dev-1", "in-1", 5, 1));
  need(world.store.set_applied_seq("dev-1", "in-1", 7, 1));
  CHECK(need(world.store.applied_seq("dev-1", "in-1")) == 7);
  CHECK(need(world.store.applied_seq("dev-1", "in-2")) == 0);
  for (std::int64_t i = 0; i < installs_per_device_max; ++i)
    need(world.store.set_applied_seq("dev-1", "new-" + std::to_string(i), 1, 10 + i));
  CHECK(need(world.store.applied_seq("dev-1", "in-1")) == 0);
  CHECK(need(world.store.applied_seq("dev-1", "new-0")) == 1);
}

TEST_CASE("the timeline is read newest first, page by page, of one device or of all") {
  World world;
  for (int i = 1; i <= 5; ++i) world.add_event(i);
  world.add_event(100, "dev-2");
  const auto seqs = [](const std::vector<EventRow>& rows) {
    std::vector<std::int64_t> list;
    for (const EventRow& row : rows) list.push_back(row.seq);
    return list;
  };
  const auto first = need(world.store.events("dev-1", 0, 2));
  CHECK(seqs(first) == std::vector<std::int64_t>{5, 4});
  CHECK(seqs(need(world.store.events("dev-1", first.back().id, 2))) == std::vector<std::int64_t>{3, 2});
  CHECK(seqs(need(world.store.events("", 0, 3))) == std::vector<std::int64_t>{100, 5, 4});
  CHECK(need(world.store.events("dev-9", 0, 3)).empty());
  CHECK(first[0].device == "dev-1");
  CHECK(first[0].kind == "started");
  CHECK(first[0].body == "{}");
}

TEST_CASE("the timeline keeps the newest thousand of each device") {
  World world;
  world.add_event(1, "dev-2");
  std::vector<EventRow> rows;
  for (std::int64_t seq = 1; seq <= timeline_events_max + 5; ++seq) rows.push_back({.seq = seq, .body = "{}"});
  need(world.store.add_events("dev-1", std::move(rows)));
  auto kept = need(world.store.events("dev-1", 0, 5000));
  CHECK(kept.size() == static_cast<std::size_t>(timeline_events_max));
  CHECK(kept.back().seq == 6);
  world.add_event(2000);
  kept = need(world.store.events("dev-1", 0, 5000));
  CHECK(kept.size() == static_cast<std::size_t>(timeline_events_max));
  CHECK(kept.front().seq == 2000);
  CHECK(kept.back().seq == 7);
  CHECK(need(world.store.events("dev-2", 0, 5000)).size() == 1);
}

TEST_CASE("the inbox gives facts in the order they came, until they are removed") {
  World world;
  std::vector<InboxRow> rows;
  for (int i = 0; i < 3; ++i)
    rows.push_back({.rollout = "ro-1", .device = "dev-" + std::to_string(i), .state = Progress::trial, .reason = "r"});
  need(world.store.add_inbox(rows));
  need(world.store.add_inbox({{.rollout = "ro-2", .device = "dev-1", .state = Progress::committed, .at_ms = 4}}));
  auto inbox = need(world.store.inbox(3));
  REQUIRE(inbox.size() == 3);
  CHECK(inbox[0].device == "dev-0");
  CHECK(inbox[0].state == Progress::trial);
  CHECK(inbox[0].reason == "r");
  need(world.store.remove_inbox(inbox[0].id));
  need(world.store.remove_inbox(inbox[1].id));
  need(world.store.remove_inbox(inbox[2].id));
  inbox = need(world.store.inbox(3));
  REQUIRE(inbox.size() == 1);
  CHECK(inbox[0].rollout == "ro-2");
  CHECK(inbox[0].at_ms == 4);
}
