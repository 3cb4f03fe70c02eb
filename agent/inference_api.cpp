// Handlers: find the model, parse, ask, answer, tell the observer.
#include "agent/inference_api.hpp"

#include "agent/class_scores.hpp"

#include "agent/status.hpp"
#include "ota/manifest.hpp"

#include <nlohmann/json.hpp>

#include <cstring>

namespace ferry::agent {
namespace {

using http::Request;
using http::Response;

constexpr std::size_t feedback_bytes_max = 4096;

Result<> check_version_of(const Request& request, const SlotContents& active) {
  auto wanted = request.params.find("version");
  if (wanted == request.params.end() || wanted->second == active.version) return {};
  return Error{Errc::not_found, "version \"" + wanted->second.substr(0, 64) + "\" of " + active.model +
                                    " is not active on this device; " + active.version + " is"};
}

std::int64_t class_of(const std::vector<float>& scores) {
  std::int64_t best = -1;
  for (std::size_t at = 0; at < scores.size(); ++at) {
    if (scores[at] != scores[at]) return -1;  // NaN
    if (best < 0 || scores[at] > scores[static_cast<std::size_t>(best)]) best = static_cast<std::int64_t>(at);
  }
  return best;
}

Json infos(const std::vector<runtime::TensorInfo>& tensors) {
  Json array = Json::array();
  for (const auto& tensor : tensors) array.push_back(to_json(tensor));
  return array;
}

}  // namespace

InferenceApi::InferenceApi(const ServingOptions& options, ServedModels& models, Clock& clock)
    : options_(options), models_(models), clock_(clock), ring_(options.boot) {}

void InferenceApi::add_routes(http::Router& router) {
  auto get = [&router](std::string pattern, http::SyncHandler handler) {
    http::Route route;
    route.method = "GET";
    route.pattern = std::move(pattern);
    route.quick = std::move(handler);
    router.add(std::move(route));
  };
  get("/v2", [](const Request&) {
    return http::json_response(Json{{"name", "ferry-agent"},
                                    {"version", agent_version},
                                    {"extensions", {"binary_tensor_data", "statistics", "feedback"}}});
  });
  get("/v2/health/live", [](const Request&) { return http::json_response(Json{{"live", true}}); });
  get("/v2/health/ready", [this](const Request&) { return server_ready(); });
  for (std::string model : {"/v2/models/{model}", "/v2/models/{model}/versions/{version}"}) {
    get(model, [this](const Request& request) { return with_model(request, &InferenceApi::metadata); });
    get(model + "/ready", [this](const Request& request) { return with_model(request, &InferenceApi::ready); });
    get(model + "/stats", [this](const Request& request) { return with_model(request, &InferenceApi::stats); });
    http::Route route;
    route.method = "POST";
    route.pattern = model + "/infer";
    route.async = [this](const Request& request) { return infer(request); };
    route.body_bytes_max = inference_body_bytes_max;
    router.add(std::move(route));
  }
  http::Route feedback;
  feedback.method = "POST";
  feedback.pattern = "/v2/models/{model}/feedback";
  feedback.quick = [this](const Request& request) { return with_model(request, &InferenceApi::feedback); };
  feedback.body_bytes_max = feedback_bytes_max;
  router.add(std::move(feedback));
  http::Route status;  // asks the spool on disk, so not on the io thread
  status.method = "GET";
  status.pattern = "/ferry/v1/status";
  status.blocking = [this](const Request&) {
    return options_.status ? http::json_response(options_.status()) : inference_error(404, "no status here");
  };
  router.add(std::move(status));
}

Response InferenceApi::with_model(const Request& request, Handler handler) {
  const auto& name = request.params.at("model");
  auto found = models_.find(name);
  if (found == models_.end() || !found->second->active()) {
    return inference_error(404, "model \"" + name.substr(0, 64) + "\": no release of it is active on this device");
  }
  auto version = check_version_of(request, *found->second->active()->release());
  if (!version) return inference_error(version.error());
  return (this->*handler)(request, *found->second);
}

Response InferenceApi::server_ready() const {
  bool all = true;
  for (const auto& [name, model] : models_) all = all && (!model->active() || model->active()->ready());
  return http::json_response(Json{{"ready", all}}, all ? 200 : 503);
}

Response InferenceApi::metadata(const Request&, ServedModel& model) {
  const auto& active = *model.active();
  const auto& release = *active.release();
  Json document{{"name", release.model},
                {"versions", {release.version}},
                {"platform", "onnxruntime_onnx"},
                {"inputs", infos(active.inputs())},
                {"outputs", infos(active.outputs())}};
  document["parameters"] =
      Json{{"variant", release.variant}, {"slot", release.slot}, {"manifest_sha256", release.manifest_sha256.hex()}};
  return http::json_response(document);
}

Response InferenceApi::ready(const Request&, ServedModel& model) {
  bool is_ready = model.active()->ready();
  return http::json_response(Json{{"name", model.active()->release()->model}, {"ready", is_ready}},
                             is_ready ? 200 : 503);
}

// The shape of Triton's statistics extension, as far as it applies.
Response InferenceApi::stats(const Request&, ServedModel& model) {
  const auto& counts = model.counts();
  const auto& release = *model.active()->release();
  Json one{{"name", release.model},
           {"version", release.version},
           {"inference_count", counts.succeeded},
           {"execution_count", counts.succeeded + counts.failed},
           {"worker_restarts", counts.restarts},
           {"bad_requests", counts.bad_requests}};
  one["inference_stats"] = Json{{"success", {{"count", counts.succeeded}, {"ns", counts.compute_us * 1000}}},
                                {"fail", {{"count", counts.failed}}}};
  return http::json_response(Json{{"model_stats", {one}}});
}

Response InferenceApi::feedback(const Request& request, ServedModel& model) {
  auto body = parse_json(request.body, JsonLimits{feedback_bytes_max, 4, true});
  auto id = body ? string_at(*body, "prediction_id", 128) : Result<std::string>(body.error());
  if (!id) return inference_error(std::move(id).error().within("feedback"));
  auto label = integer_at(*body, "label", 0, static_cast<std::int64_t>(ota::labels_max) - 1);
  if (!label) return inference_error(std::move(label).error().within("feedback"));
  auto source = string_or(*body, "source", "user", 16);
  if (!source) return inference_error(std::move(source).error().within("feedback"));
  if (*source != "audit" && *source != "user" && *source != "downstream") {
    return inference_error(400, "feedback: source \"" + *source + "\", expected audit, user or downstream");
  }
  auto* entry = ring_.find(*id);
  if (entry == nullptr || entry->release->model != request.params.at("model")) {
    if (options_.observer != nullptr) options_.observer->on_unjoinable_label(*model.active()->release());
    return inference_error(404, "feedback: prediction_id \"" + *id + "\" is not among this model's latest " +
                                    std::to_string(feedback_ring_size) + " predictions of this agent's life");
  }
  if (entry->predicted < 0)
    return inference_error(400, "feedback: this prediction has no class; the model has no class_output");
  auto labels = static_cast<std::int64_t>(entry->release->manifest->contract.labels.size());
  if (labels > 0 && *label >= labels) {
    return inference_error(
        400, "feedback: label " + std::to_string(*label) + ", the model has " + std::to_string(labels) + " classes");
  }
  bool correct = entry->predicted == *label;
  if (!std::exchange(entry->labelled, true) && options_.observer != nullptr) {  // a repeated label counts once
    LabelSample sample{*entry->release, correct, *source, clock_.monotonic() - entry->at};
    options_.observer->on_label(sample);
  }
  return http::json_response(Json{{"prediction_id", *id}, {"predicted", entry->predicted}, {"correct", correct}});
}

boost::asio::awaitable<Response> InferenceApi::infer(const Request& request) {
  auto started = clock_.monotonic();
  const auto& name = request.params.at("model");
  auto found = models_.find(name);
  if (found == models_.end())
    co_return inference_error(404, "model \"" + name.substr(0, 64) + "\" is not on this device");
  ServedModel& model = *found->second;
  auto instance = co_await model.active_ready();
  if (!instance) {
    if (model.active() && instance.error().code != Errc::not_found)
      tell_failure(*model.active()->release(), instance.error(), started, {});
    co_return inference_error(instance.error());
  }
  auto release = (*instance)->release();
  auto version = check_version_of(request, *release);
  if (!version) co_return inference_error(version.error());
  auto parsed = parse_inference(request, (*instance)->inputs(), (*instance)->outputs());
  if (!parsed) {
    if (options_.observer != nullptr) options_.observer->on_refused_request(*release);
    co_return inference_error(parsed.error());
  }
  auto answered = co_await model.infer(*parsed);
  if (answered) co_return answer(*parsed, *answered, started);
  if (answered.error().code != Errc::bad_input) tell_failure(*release, answered.error(), started, parsed->inputs);
  co_return inference_error(answered.error());
}

Response InferenceApi::answer(const InferenceRequest& request, const Answered& answered,
                              std::chrono::nanoseconds started) {
  auto scores = class_scores(answered.outputs, answered.class_output);
  InferenceReply reply;
  reply.model = answered.release->model;
  reply.version = answered.release->version;
  reply.prediction_id = ring_.add(answered.release, class_of(scores), clock_.monotonic());
  reply.outputs = answered.outputs;
  auto response = format_inference(request, reply);
  if (options_.observer != nullptr) {
    InferenceSample sample{*answered.release, clock_.monotonic() - started, {}, scores, request.inputs,
                           answered.outputs};
    options_.observer->on_inference(sample);
  }
  return response;
}

void InferenceApi::tell_failure(const SlotContents& release, const Error& error, std::chrono::nanoseconds started,
                                std::span<const runtime::TensorView> inputs) {
  if (options_.observer == nullptr) return;
  std::string_view type = error.reason.empty() ? to_string(error.code) : std::string_view(error.reason);
  InferenceSample sample{release, clock_.monotonic() - started, type, {}, inputs, {}};
  options_.observer->on_inference(sample);
}

}  // namespace ferry::agent
