// Keyset pages over telemetry_devices.
#include "server/store/device_totals.hpp"

#include "server/store/packed_window.hpp"

namespace ferry::server {

Result<> visit_device_totals(
    Database& database, const std::string& model,
    const std::function<void(const std::string& device, const telemetry::ReleaseWindow&)>& visit) {
  std::string device, version;
  while (true) {
    TRY(auto rows, database.query("select device, version, data from telemetry_devices where model = $1 and "
                                  "(device > $2 or (device = $2 and version > $3)) order by device, version limit $4",
                                  {model, device, version, device_totals_page}));
    for (const Row& row : rows) {
      TRY(const auto window, unpack_window(row.blob(2)));
      visit(row.text(0), window);
    }
    if (rows.size() < static_cast<std::size_t>(device_totals_page)) return {};
    device = rows.back().text(0);
    version = rows.back().text(1);
  }
}

}  // namespace ferry::server
