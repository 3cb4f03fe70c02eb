// Telemetry by release and hardware class: does a release run everywhere as it does on the machine that gated it?
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/store/device_totals.hpp"

#include "ota/manifest.hpp"

namespace ferry::server::api {
namespace {

struct OfClass {
  telemetry::ReleaseWindow total;
  std::int64_t devices = 0;
};

}  // namespace

Result<http::Response> get_telemetry_classes(Services& services, const http::Request& request) {
  const std::string model = query_of(request, "model");
  if (auto named = ota::check_model_name(model); !named) return std::move(named).error().within("model");
  std::map<std::pair<std::string, std::string>, OfClass> classes;  // version, hardware class
  TRY_VOID(
      visit_device_totals(services.database, model, [&](const std::string& id, const telemetry::ReleaseWindow& window) {
        const DevicePtr device = services.fleet.find(id);
        if (!device || device->revoked) return;
        OfClass& of = classes[{window.key.version, device->facts()->hardware_class}];
        merge_into(of.total, window);
        ++of.devices;
      }));
  Json items = Json::array();
  for (const auto& [key, of] : classes) {
    Json item = summary_of(of.total);
    item["version"] = key.first;
    item["hardware_class"] = key.second;
    item["devices"] = of.devices;
    items.push_back(std::move(item));
  }
  return http::json_response(Json{{"model", model}, {"items", std::move(items)}});
}

}  // namespace ferry::server::api
