// Parses the check-in answer.
#include "agent/assignment.hpp"

namespace ferry::agent {
namespace {

Result<ModelAssignment> parse_model(const Json& item) {
  ModelAssignment assigned;
  TRY(assigned.model, string_at(item, "model", 64));
  TRY_VOID(ota::check_model_name(assigned.model));
  // The wire calls the manifest's digest `sha256`; the journal, which holds more digests, `manifest_sha256`.
  TRY(auto digest, string_at(item, "sha256", 64));
  Json journal = item;
  journal["manifest_sha256"] = digest;
  TRY(assigned.release, ota::assigned_release_from_json(journal));
  TRY_VOID(ota::check_version(assigned.release.version));
  std::string target = ota::manifest_target_path(assigned.model, assigned.release.version);
  if (assigned.release.target != target)
    return Error{Errc::bad_input, "target: found \"" + assigned.release.target + "\", expected \"" + target + "\""};
  const std::string& arm = assigned.release.arm;
  if (arm != "canary" && arm != "control" && arm != "none")
    return Error{Errc::bad_input, "arm: found \"" + arm + "\", expected canary | control | none"};
  return assigned;
}

Result<Recall> parse_recall(const Json& item) {
  Recall recall;
  TRY(recall.model, string_at(item, "model", 64));
  TRY_VOID(ota::check_model_name(recall.model));
  TRY(auto digest, string_at(item, "manifest_sha256", 64));
  TRY(recall.manifest_sha256, Digest::from_hex(digest));
  TRY(recall.reason, string_at(item, "reason", 64));
  if (!recall.reason.starts_with("gate.") && recall.reason != "operator.rollback")
    return Error{Errc::bad_input, "reason: found \"" + recall.reason + "\", expected gate.* or operator.rollback"};
  TRY(recall.message, string_or(item, "message", "", ota::message_bytes_max));
  return recall;
}

}  // namespace

Result<Assignment> parse_assignment(std::string_view body) {
  auto parse = [&]() -> Result<Assignment> {
    TRY(Json document, parse_json(body, {.bytes_max = assignment_bytes_max}));
    TRY(auto format, string_at(document, "format", 64));
    if (format != "ferry.assignment/1")
      return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.assignment/1"};
    Assignment assignment;
    TRY(assignment.device, string_at(document, "device", 128));
    TRY(auto interval_s, integer_or(document, "telemetry_interval_s", 60, 1, 86'400));
    assignment.telemetry_interval = std::chrono::seconds{interval_s};
    TRY(auto models, array_at(document, "models", models_per_device_max));
    for (std::size_t index = 0; index < models->size(); ++index) {
      auto model = parse_model((*models)[index]);
      if (!model) return std::move(model).error().within("models[" + std::to_string(index) + "]");
      for (const auto& before : assignment.models)
        if (before.model == model->model)
          return Error{Errc::bad_input, "models: \"" + model->model + "\" is listed twice"};
      assignment.models.push_back(std::move(*model));
    }
    if (!document.contains("recalls")) return assignment;
    TRY(auto recalls, array_at(document, "recalls", models_per_device_max));
    for (std::size_t index = 0; index < recalls->size(); ++index) {
      auto recall = parse_recall((*recalls)[index]);
      if (!recall) return std::move(recall).error().within("recalls[" + std::to_string(index) + "]");
      assignment.recalls.push_back(std::move(*recall));
    }
    return assignment;
  };
  auto assignment = parse();
  if (!assignment) return std::move(assignment).error().within("assignment");
  return assignment;
}

}  // namespace ferry::agent
