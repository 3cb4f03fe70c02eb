// The trust root and the bytes below it: publication, current metadata, blobs.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"

#include "common/bytes.hpp"

namespace ferry::server::api {
namespace {

Json role_json(const std::string& role, const ota::Document& document, const ota::RoleKeys* keys) {
  Json entry{{"role", role},
             {"version", document.version},
             {"expires", to_rfc3339(document.expires)},
             {"expires_ms", to_unix_ms(document.expires)},
             {"threshold", keys ? keys->threshold : 0},
             {"key_ids", keys ? keys->key_ids : std::vector<std::string>()}};
  return entry;
}

const ota::RoleKeys* keys_in(const ota::Root& root, const std::string& role) {
  const auto found = root.roles.find(role);
  return found == root.roles.end() ? nullptr : &found->second;
}

Result<Json> trust_json(Services& services) {
  if (!services.trust.published()) return Json{{"published", false}};
  const ota::RepositoryState state = services.trust.state();
  TRY(auto root, ota::parse_root(state.root));
  TRY(auto targets, ota::parse_targets(state.targets));
  TRY(auto snapshot, ota::parse_snapshot(state.snapshot));
  TRY(auto timestamp, ota::parse_timestamp(state.timestamp));
  Json roles = Json::array();
  roles.push_back(role_json("root", root, keys_in(root, "root")));
  roles.push_back(role_json("targets", targets, keys_in(root, "targets")));
  roles.push_back(role_json("snapshot", snapshot, keys_in(root, "snapshot")));
  roles.push_back(role_json("timestamp", timestamp, keys_in(root, "timestamp")));
  for (const auto& [model, bytes] : state.roles) {
    TRY(auto role, ota::parse_targets(bytes));
    const ota::RoleKeys* keys = nullptr;
    for (const ota::Delegation& delegation : targets.delegations)
      if (delegation.name == model) keys = &delegation.keys;
    Json entry = role_json(model, role, keys);
    entry["minimum_counter"] = role.minimum_counter.value_or(0);
    roles.push_back(std::move(entry));
  }
  TRY(auto policy, services.trust.gate_policy());
  return Json{{"published", true},
              {"root_sha256", sha256(services.trust.pinned_root()).hex()},
              {"roles", std::move(roles)},
              {"gate_policy",
               {{"threshold", policy.threshold}, {"age_max_days", policy.age_max_days}, {"keys", policy.keys.size()}}}};
}

}  // namespace

Result<http::Response> get_trust(Services& services, const http::Request&) {
  TRY(auto trust, trust_json(services));
  return http::json_response(trust);
}

Result<http::Response> post_trust(Services& services, const http::Request& request) {
  TRY(auto body, body_object(request, publish_body_bytes_max));
  TRY_VOID(only_known_fields(body, {"root", "targets", "gate_policy", "roles"}));
  TrustUpdate update;
  TRY(update.root, base64_member(body, "root"));
  TRY(update.targets, base64_member(body, "targets"));
  TRY(update.gate_policy, base64_member(body, "gate_policy"));
  if (const auto roles = body.find("roles"); roles != body.end()) {
    if (!roles->is_object()) return Error{Errc::bad_input, "roles: expected an object of model -> base64"};
    for (const auto& [model, ignored] : roles->items()) {
      auto bytes = base64_member(*roles, model);
      if (!bytes) return std::move(bytes).error().within("roles");
      update.roles[model] = std::move(*bytes);
    }
  }
  TRY_VOID(services.trust.update(update));
  services.log.info("trust metadata published", {{"by", caller_name(services, request)}});
  services.hub->publish("releases", "changed", "");
  services.hub->publish("overview", "changed", "");
  return get_trust(services, request);
}

Result<http::Response> get_metadata(Services& services, const http::Request& request) {
  const std::string& file = request.params.at("file");
  constexpr std::string_view ending = ".json";
  std::string bytes;
  if (file.ends_with(ending)) bytes = services.trust.newest(file.substr(0, file.size() - ending.size()));
  if (bytes.empty()) return Error{Errc::not_found, "metadata " + file.substr(0, 80) + ": there is none yet"};
  return http::text_response(std::move(bytes), "application/json");
}

Result<http::Response> put_blob(Services& services, const http::Request& request) {
  TRY(auto digest, Digest::from_hex(request.params.at("hex")));
  TRY(bool fresh, services.blobs.adopt(request.body_file, digest));
  return http::json_response(Json{{"sha256", digest.hex()}, {"new", fresh}}, fresh ? 201 : 200);
}

Result<http::Response> head_blob(Services& services, const http::Request& request) {
  TRY(auto digest, Digest::from_hex(request.params.at("hex")));
  http::Response response;
  if (!services.blobs.has(digest)) response.status = 404;
  return response;
}

}  // namespace ferry::server::api
