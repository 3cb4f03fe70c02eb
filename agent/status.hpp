// The agent's words about itself: /ferry/v1/status, run/agent.json, and the `slots` event.
#pragma once
#include "agent/config.hpp"
#include "common/json.hpp"

#include <map>
#include <mutex>

namespace ferry::agent {

inline constexpr std::string_view agent_version = "0.1.0";

// Thread-safe: each component sets its part, anybody reads the whole.
class StatusBoard {
 public:
  StatusBoard(std::string device, std::string boot);

  // One entry of `models` (docs/formats/inference-api.md), whole.
  void set_model(const std::string& model, Json entry);
  void set_contact(bool connected, std::int64_t at_ms);  // at_ms is kept when not connected
  void set_hardware_class(std::string hardware_class);
  // Asked at each reading: `spool` counts and each model's serving state live elsewhere.
  void on_read(std::function<void(Json& document)> complete);

  Json document() const;
  Json slots_detail() const;  // {"models": [the same entries]}

 private:
  mutable std::mutex mutex_;  // guards all below
  std::string device_;
  std::string boot_;
  std::string hardware_class_;
  bool connected_ = false;
  std::int64_t last_contact_ms_ = 0;
  std::map<std::string, Json> models_;
  std::function<void(Json&)> complete_;
};

// run/agent.json, written when the agent is ready, and removed by a graceful end.
Result<> write_run_file(const DataTree& data, const Path& socket, const std::string& url);
void remove_run_file(const DataTree& data);
struct RunFile {
  std::int64_t pid = 0;
  Path socket;
  std::string url;
};
Result<RunFile> read_run_file(const DataTree& data);

}  // namespace ferry::agent
