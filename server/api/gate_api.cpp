// The live gate of a rollout: what it says now, and its verdicts on record with the whole evidence.
#include "server/api/common.hpp"
#include "server/api/handlers.hpp"
#include "server/api/views.hpp"

#include "telemetry/judge_record.hpp"

namespace ferry::server::api {
namespace {

Error no_gate(const std::string& id) {
  return Error{Errc::not_found, "rollout " + id.substr(0, 80) + ": it has no live gate (policy: gate)"};
}

http::Response json_text(std::string text) { return http::text_response(std::move(text), "application/json"); }

}  // namespace

// The present look of a gate that still decides; else the last one on record: the one that decided.
Result<http::Response> get_verdict(Services& services, const http::Request& request) {
  TRY(auto rollout, services.rollouts.find(request.params.at("id")));
  if (!rollout.gated()) return no_gate(rollout.plan.id);
  if (const auto look = services.rollouts.gates().latest(rollout.plan.id); look && !rollout.in_last_phase())
    return json_text(telemetry::print_verdict({look->evidence, look->verdict}));
  TRY(auto records, services.rollouts.verdicts(rollout.plan.id, 1));
  if (records.empty())
    return Error{Errc::not_found, "rollout " + rollout.plan.id + ": the live gate has not looked at anything yet"};
  return json_text(std::move(records.front().body));
}

Result<http::Response> list_verdicts(Services& services, const http::Request& request) {
  TRY(auto rollout, services.rollouts.find(request.params.at("id")));
  if (!rollout.gated()) return no_gate(rollout.plan.id);
  TRY(auto records, services.rollouts.verdicts(rollout.plan.id, verdict_records_max));
  Json items = Json::array();
  for (const VerdictRecord& record : records) {
    TRY(auto body, parse_json(record.body, {.bytes_max = publish_body_bytes_max}));
    items.push_back(Json{{"at_ms", record.at_ms}, {"decision", record.decision}, {"record", std::move(body)}});
  }
  return list_page(request, std::move(items));
}

}  // namespace ferry::server::api
