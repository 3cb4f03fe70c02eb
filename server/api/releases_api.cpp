// Models and releases: published, listed, shown with their gate report verified again.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include "ota/manifest.hpp"

namespace ferry::server::api {
namespace {

Result<ota::Manifest> manifest_of(Services& services, const ReleaseRow& row) {
  TRY(auto bytes, services.blobs.read(row.manifest_sha256, ota::manifest_bytes_max));
  return ota::parse_manifest(bytes);
}

std::string state_of(Services& services, const ReleaseRow& row) {
  std::string state = "published";
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    if (const auto found = by_model.find(row.model); found != by_model.end())
      state = release_state(row.manifest_sha256, found->second);
  });
  return state;
}

Json summary_json(Services& services, const Census& census, const ReleaseRow& row, const ota::Manifest& manifest) {
  const auto devices = census.devices.find(row.model);
  return Json{{"model", row.model},
              {"version", row.version},
              {"counter", row.counter},
              {"manifest_sha256", row.manifest_sha256.hex()},
              {"manifest_length", row.manifest_length},
              {"target", ota::manifest_target_path(row.model, row.version)},
              {"created_ms", row.created_ms},
              {"published_ms", row.published_ms},
              {"published_by", row.published_by},
              {"description", manifest.description},
              {"state", state_of(services, row)},
              {"devices",
               {{"running", census.running(row.model, row.manifest_sha256)},
                {"total", devices == census.devices.end() ? 0 : devices->second}}}};
}

Json measured_json(const ota::Measured& measured) {
  Json json{{"hardware_class", measured.hardware_class}};
  const auto put = [&](const char* key, const std::optional<std::int64_t>& value) {
    if (value) json[key] = *value;
  };
  put("latency_p50_us", measured.latency_p50_us);
  put("latency_p99_us", measured.latency_p99_us);
  put("memory_peak_bytes", measured.memory_peak_bytes);
  put("accuracy_ppm", measured.accuracy_ppm);
  put("samples", measured.samples);
  return json;
}

Json variants_json(const Census& census, const ReleaseRow& row, const ota::Manifest& manifest) {
  Json list = Json::array();
  for (const ota::Variant& variant : manifest.variants) {
    Json measured = Json::array();
    for (const ota::Measured& one : variant.measured) measured.push_back(measured_json(one));
    Json budget{{"memory_mib", variant.budget.memory_mib_or_default()}};
    if (variant.budget.latency_p99_us) budget["latency_p99_us"] = *variant.budget.latency_p99_us;
    list.push_back(Json{
        {"name", variant.name},
        {"precision", variant.precision},
        {"opset", variant.opset},
        {"file_sha256", variant.file.sha256.hex()},
        {"file_length", variant.file.length_bytes},
        {"golden_tolerance", variant.golden_tolerance},
        {"needs", {{"architectures", variant.needs.architectures}, {"memory_mib_min", variant.needs.memory_mib_min}}},
        {"budget", std::move(budget)},
        {"devices", census.running(row.model, row.manifest_sha256, variant.name)},
        {"measured", std::move(measured)}});
  }
  return list;
}

Json tensors_json(const std::vector<ota::TensorSpec>& tensors) {
  Json list = Json::array();
  for (const ota::TensorSpec& tensor : tensors)
    list.push_back(Json{{"name", tensor.name}, {"datatype", tensor.datatype}, {"shape", tensor.shape}});
  return list;
}

Json contract_json(const ota::Contract& contract) {
  return Json{{"task", contract.task},
              {"labels", contract.labels},
              {"class_output", contract.class_output},
              {"inputs", tensors_json(contract.inputs)},
              {"outputs", tensors_json(contract.outputs)}};
}

// Judged anew against the present policy: a key that was taken out of it since must show.
Result<Json> gate_json(Services& services, const ReleaseRow& row) {
  TRY(auto attestations, services.blobs.read(row.attestations_sha256, ota::attestations_bytes_max));
  TRY(auto policy, services.trust.gate_policy());
  Json gate{{"verified", false},
            {"result", row.gate_result},
            {"keys_counted", 0},
            {"finished_ms", 0},
            {"hardware_class", ""},
            {"variant", ""},
            {"passed", Json::array()},
            {"warned", Json::array()},
            {"error", ""},
            {"report", nullptr},
            {"attestations_sha256", row.attestations_sha256.hex()}};
  auto judged =
      ota::check_attestations(policy, {.manifest_sha256 = row.manifest_sha256}, attestations, services.clock.now());
  std::string report;
  if (judged) {
    gate["verified"] = true;
    gate["result"] = judged->result;
    gate["keys_counted"] = judged->keys_counted;
    gate["finished_ms"] = to_unix_ms(judged->finished);
    gate["hardware_class"] = judged->hardware_class;
    gate["variant"] = judged->variant;
    gate["passed"] = judged->passed_checks;
    gate["warned"] = judged->warned_checks;
    report = judged->report_json;
  } else {
    gate["error"] = judged.error().context;
    if (auto view = ota::read_gate_report(attestations, policy.keys)) report = view->report_json;
  }
  if (auto parsed = parse_json(report); !report.empty() && parsed) gate["report"] = std::move(*parsed);
  return gate;
}

Json rollouts_json(Services& services, const ReleaseRow& row) {
  Json list = Json::array();
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    const auto found = by_model.find(row.model);
    if (found == by_model.end()) return;
    for (const Rollout* rollout : found->second)
      if (rollout->plan.manifest_sha256 == row.manifest_sha256)
        list.push_back(Json{{"id", rollout->plan.id}, {"state", to_string(rollout->head.status)}});
  });
  return list;
}

Result<Json> detail_json(Services& services, const ReleaseRow& row) {
  TRY(auto manifest, manifest_of(services, row));
  const Census census = take_census(services);
  Json json = summary_json(services, census, row, manifest);
  json["variants"] = variants_json(census, row, manifest);
  json["contract"] = contract_json(manifest.contract);
  TRY(json["gate"], gate_json(services, row));
  json["rollouts"] = rollouts_json(services, row);
  return json;
}

Result<ReleaseRow> find(Services& services, const std::string& model, const std::string& version) {
  TRY(auto row, services.releases.find(model, version));
  if (!row)
    return Error{Errc::not_found, "release " + model.substr(0, 80) + " " + version.substr(0, 80) + ": not published"};
  return std::move(*row);
}

}  // namespace

Result<http::Response> list_models(Services& services, const http::Request& request) {
  TRY(auto rows, services.releases.list("", releases_listed_max));
  const Census census = take_census(services);
  std::map<std::string, Json> models;
  for (const ReleaseRow& row : rows) {  // newest publication first
    Json& entry = models[row.model];
    if (entry.is_null())
      entry =
          Json{{"model", row.model}, {"releases", 0}, {"latest", row.version}, {"current", ""}, {"active_rollout", ""}};
    entry["releases"] = entry["releases"].get<std::int64_t>() + 1;
    if (state_of(services, row) == "current") entry["current"] = row.version;
  }
  services.rollouts.read([&](const std::map<std::string, ModelRollouts>& by_model) {
    for (const auto& [model, rollouts] : by_model)
      for (const Rollout* rollout : rollouts)
        if (!is_terminal(rollout->head.status) && models.contains(model))
          models[model]["active_rollout"] = rollout->plan.id;
  });
  Json items = Json::array();
  for (auto& [model, entry] : models) {
    const auto devices = census.devices.find(model);
    entry["devices"] = devices == census.devices.end() ? 0 : devices->second;
    entry["minimum_counter"] = 0;
    if (auto role = ota::parse_targets(services.trust.newest(model)))
      entry["minimum_counter"] = role->minimum_counter.value_or(0);
    items.push_back(std::move(entry));
  }
  return list_page(request, std::move(items));
}

Result<http::Response> list_releases(Services& services, const http::Request& request) {
  TRY(auto rows, services.releases.list(query_of(request, "model"), releases_listed_max));
  const Census census = take_census(services);
  Json items = Json::array();
  for (const ReleaseRow& row : rows) {
    auto manifest = manifest_of(services, row);
    if (!manifest) return std::move(manifest).error().within("release " + row.model + " " + row.version);
    Json item = summary_json(services, census, row, *manifest);
    item["gate_result"] = row.gate_result;
    Json names = Json::array();
    for (const ota::Variant& variant : manifest->variants) names.push_back(variant.name);
    item["variant_names"] = std::move(names);
    items.push_back(std::move(item));
  }
  return list_page(request, std::move(items));
}

Result<http::Response> get_release(Services& services, const http::Request& request) {
  TRY(auto row, find(services, request.params.at("model"), request.params.at("version")));
  TRY(auto json, detail_json(services, row));
  return http::json_response(json);
}

Result<http::Response> post_release(Services& services, const http::Request& request) {
  TRY(auto body, body_object(request, publish_body_bytes_max));
  TRY_VOID(only_known_fields(body, {"model", "version", "manifest", "attestations", "role_metadata"}));
  NewRelease release;
  TRY(release.model, string_at(body, "model"));
  TRY(release.version, string_at(body, "version"));
  TRY(release.manifest, base64_member(body, "manifest"));
  TRY(release.attestations, base64_member(body, "attestations"));
  TRY(release.role_metadata, base64_member(body, "role_metadata"));
  release.by = caller_name(services, request);
  auto published = services.trust.publish(release);
  if (!published) {
    services.metrics.count("ferry_releases_refused_total");
    services.log.warn("release refused", {{"model", release.model.substr(0, 80)},
                                          {"version", release.version.substr(0, 80)},
                                          {"by", release.by},
                                          {"error", published.error().context}});
    return std::move(published).error();
  }
  services.hub->publish("releases", "changed", release.model + "/" + release.version);
  services.hub->publish("overview", "changed", "");
  TRY(auto row, find(services, release.model, release.version));
  TRY(auto json, detail_json(services, row));
  return http::json_response(json, *published ? 201 : 200);
}

}  // namespace ferry::server::api
