// The agent's composition root: builds every part bottom up, runs until asked to end, takes them down in reverse.
#pragma once
#include "agent/config.hpp"
#include "agent/serving.hpp"
#include "common/random.hpp"

namespace ferry::agent {

struct AgentPorts {
  Clock& clock;
  Random& random;
  Log& log;
  // Makes the serving half; tests put a scripted one here.
  std::function<std::unique_ptr<Serving>(ServingOptions)> make_serving;
  // Blocks until the process is asked to end.
  std::function<void()> wait_for_end;
};

// Errors: not_found when not enrolled; conflict when another agent runs on this data tree; io, unsupported …
Result<> run_agent(const Config& config, const AgentPorts& ports);

}  // namespace ferry::agent
