// Puts the status document together.
#include "agent/status.hpp"

#include <unistd.h>

namespace ferry::agent {

StatusBoard::StatusBoard(std::string device, std::string boot) : device_(std::move(device)), boot_(std::move(boot)) {}

void StatusBoard::set_model(const std::string& model, Json entry) {
  std::lock_guard lock(mutex_);
  models_[model] = std::move(entry);
}

void StatusBoard::set_contact(bool connected, std::int64_t at_ms) {
  std::lock_guard lock(mutex_);
  connected_ = connected;
  if (connected) last_contact_ms_ = at_ms;
}

void StatusBoard::set_hardware_class(std::string hardware_class) {
  std::lock_guard lock(mutex_);
  hardware_class_ = std::move(hardware_class);
}

void StatusBoard::on_read(std::function<void(Json&)> complete) {
  std::lock_guard lock(mutex_);
  complete_ = std::move(complete);
}

Json StatusBoard::document() const {
  std::unique_lock lock(mutex_);
  Json models = Json::array();
  for (const auto& [name, entry] : models_) models.push_back(entry);
  Json document{{"format", "ferry.status/1"},
                {"device", device_},
                {"agent_version", agent_version},
                {"pid", ::getpid()},
                {"boot", boot_},
                {"connected", connected_},
                {"last_contact_ms", last_contact_ms_},
                {"hardware_class", hardware_class_},
                {"models", std::move(models)},
                {"spool", {{"events", 0}, {"windows", 0}, {"dropped", 0}}}};
  auto complete = complete_;
  lock.unlock();  // it asks components that may be reporting here
  if (complete) complete(document);
  return document;
}

Json StatusBoard::slots_detail() const {
  std::lock_guard lock(mutex_);
  Json models = Json::array();
  for (const auto& [name, entry] : models_) models.push_back(entry);
  return Json{{"models", std::move(models)}};
}

Result<> write_run_file(const DataTree& data, const Path& socket, const std::string& url) {
  Json document{{"format", "ferry.agent-run/1"}, {"pid", ::getpid()}, {"socket", socket.string()}, {"url", url}};
  return write_file_atomic(data.run() / "agent.json", dump_json(document) + "\n");
}

void remove_run_file(const DataTree& data) {
  std::error_code ignored;  // the next start overwrites it anyway
  std::filesystem::remove(data.run() / "agent.json", ignored);
}

Result<RunFile> read_run_file(const DataTree& data) {
  Path path = data.run() / "agent.json";
  auto text = read_file(path, 16 * 1024);
  if (!text && text.error().code == Errc::not_found)
    return Error{Errc::unreachable, path.string() + ": the agent is not running (`ferry-agent run`)"};
  if (!text) return std::move(text).error();
  TRY(Json document, parse_json(*text));
  RunFile run;
  TRY(run.pid, integer_at(document, "pid", 1));
  TRY(auto socket, string_at(document, "socket"));
  run.socket = socket;
  TRY(run.url, string_at(document, "url"));
  return run;
}

}  // namespace ferry::agent
