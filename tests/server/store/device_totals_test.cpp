#include "server/store/device_totals.hpp"

#include "server/store/packed_window.hpp"
#include "tests/server/store/store_fixture.hpp"

#include <fmt/format.h>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

void put(Database& database, const std::string& device, const std::string& model, const std::string& version) {
  telemetry::ReleaseWindow window;
  window.key.model = model;
  window.key.version = version;
  window.duration.record(0.001);
  need(
      database.query("insert into telemetry_devices (device, model, version, last_window_ms, data) "
                     "values ($1, $2, $3, 1, $4)",
                     {device, model, version, need(pack_window(window))}));
}

}  // namespace

TEST_CASE("every device and release of a model is visited once, over page ends, and no other model's") {
  auto database = memory_database();
  const int devices = static_cast<int>(device_totals_page) / 2 + 3;
  for (int i = 0; i < devices; ++i) {
    for (const char* version : {"1.0.0", "1.1.0"}) put(*database, fmt::format("dev-{:04}", i), "a", version);
    put(*database, fmt::format("dev-{:04}", i), "b", "1.0.0");
  }
  std::vector<std::string> seen;
  need(visit_device_totals(*database, "a", [&](const std::string& device, const telemetry::ReleaseWindow& window) {
    seen.push_back(device + " " + window.key.version);
    CHECK(window.key.model == "a");
    CHECK(window.duration.count() == 1);
  }));
  CHECK(seen.size() == static_cast<std::size_t>(2 * devices));
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}
