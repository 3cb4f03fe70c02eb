#include "server/store/drift.hpp"

#include "tests/server/store/store_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

DriftCohortRow cohort(const std::string& id) { return {id, "m", "1.0.0", "abc", "camera", "", "none", 5, "{}"}; }

}  // namespace

TEST_CASE("a cohort, its devices and its windows read back, and go together") {
  auto database = memory_database();
  DriftStore store(*database);
  need(store.put_cohort(cohort("dc-1")));
  need(store.put_cohort(cohort("dc-2")));
  auto changed = cohort("dc-1");
  changed.seen_ms = 9;
  changed.state = "{\"a\":1}";
  need(store.put_cohort(changed));
  need(store.put_device({"dc-1", "dev-1", 1, 2, true, "x"}));
  need(store.put_device({"dc-1", "dev-1", 3, 4, false, "y"}));
  need(store.put_device({"dc-2", "dev-1", 1, 0, true, ""}));
  need(store.add_window("dc-1", 1, 100, "first"));
  need(store.add_window("dc-2", 1, 100, "other"));

  const auto cohorts = need(store.cohorts());
  REQUIRE(cohorts.size() == 2);
  CHECK(cohorts[0].id == "dc-1");
  CHECK(cohorts[0].hardware_class == "camera");
  CHECK(cohorts[0].seen_ms == 9);
  CHECK(cohorts[0].state == "{\"a\":1}");
  const auto devices = need(store.devices());
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].seen_ms == 3);
  CHECK(devices[0].since_ms == 4);
  CHECK_FALSE(devices[0].member);
  CHECK(devices[0].counts == "y");
  CHECK(devices[1].member);

  need(store.erase_cohort("dc-1"));
  CHECK(need(store.cohorts()).size() == 1);
  CHECK(need(store.devices()).size() == 1);
  CHECK(need(store.windows("dc-1", 0, 10)).empty());
  CHECK(need(store.windows("dc-2", 0, 10)) == std::vector<std::string>{"other"});
  need(store.erase_device("dc-2", "dev-1"));
  CHECK(need(store.devices()).empty());
}

TEST_CASE("after a closed window nothing waits, and devices that left are gone") {
  auto database = memory_database();
  DriftStore store(*database);
  need(store.put_cohort(cohort("dc-1")));
  need(store.put_cohort(cohort("dc-2")));
  need(store.put_device({"dc-1", "dev-1", 1, 2, true, "x"}));
  need(store.put_device({"dc-1", "dev-2", 1, 2, false, "x"}));
  need(store.put_device({"dc-2", "dev-2", 1, 2, true, "x"}));
  need(store.start_window("dc-1"));
  const auto devices = need(store.devices());
  REQUIRE(devices.size() == 2);
  CHECK(devices[0].device == "dev-1");
  CHECK(devices[0].counts.empty());
  CHECK(devices[0].since_ms == 0);
  CHECK(devices[1].cohort == "dc-2");
  CHECK(devices[1].counts == "x");
}

TEST_CASE("windows are listed oldest first, the newest of them, and only so many are kept") {
  auto database = memory_database();
  DriftStore store(*database);
  need(store.put_cohort(cohort("dc-1")));
  CHECK(need(store.last_window("dc-1")) == 0);
  for (std::int64_t number = 1; number <= drift_windows_max + 5; ++number)
    need(store.add_window("dc-1", number, 1000 * number, std::to_string(number)));
  CHECK(need(store.windows("dc-1", 0, 2 * drift_windows_max)).size() == std::size_t(drift_windows_max));
  CHECK(need(store.windows("dc-1", 0, 2 * drift_windows_max)).front() == "6");
  CHECK(need(store.windows("dc-1", 0, 3)) == std::vector<std::string>{"2003", "2004", "2005"});
  CHECK(need(store.windows("dc-1", 2'004'000, 10)) == std::vector<std::string>{"2004", "2005"});
  CHECK(need(store.last_window("dc-1")) == drift_windows_max + 5);
  need(store.add_window("dc-1", 2'005, 9, "again"));
  need(store.forget_windows_before(1'000'000));
  CHECK(need(store.windows("dc-1", 0, 2 * drift_windows_max)).front() == "1000");
  CHECK(need(store.windows("dc-1", 0, 1)) == std::vector<std::string>{"2004"});
}

TEST_CASE("rows of a cohort that is not there are refused by the schema itself") {
  auto database = memory_database();
  DriftStore store(*database);
  CHECK(store.put_device({"dc-none", "dev-1", 1, 2, true, ""}).error().code == Errc::conflict);
  CHECK(store.add_window("dc-none", 1, 1, "").error().code == Errc::conflict);
}
