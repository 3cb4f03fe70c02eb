// The live gates of rollouts under way: keeps what every pair has shown, looks, and says what the judge says.
#pragma once
#include "common/clock.hpp"
#include "server/rollout/rollout_machine.hpp"
#include "server/store/baselines.hpp"
#include "server/store/gates.hpp"
#include "server/store/telemetry.hpp"
#include "telemetry/judge.hpp"

#include <mutex>

namespace ferry::server {

inline constexpr std::int64_t gate_look_interval_ms = 1000;  // without news: silence and age are judged this often

struct GateLook {
  telemetry::GateEvidence evidence;
  telemetry::Verdict verdict;
  std::int64_t at_ms = 0;
};

// Thread-safe. Calls block on the database, except latest(). Lock order: the controller's, then this one's, then the
// telemetry store's, then the database's.
class LiveGates {
 public:
  explicit LiveGates(Database& database) : database_(database), store_(database), baselines_(database) {}

  // In the transaction that makes the rollout: one row per pair.
  Result<> open(const RolloutPlan& plan);
  // A gated rollout that is not over: from its rows.
  Result<> attach(const RolloutPlan& plan);
  void detach(const std::string& rollout);

  // Merges an upload once (TelemetryStore::apply), into baselines and gates too, in the same transaction. `along` runs
  // in it as well.
  Result<UploadVerdict> apply(TelemetryStore& telemetry, const std::string& device,
                              const telemetry::WindowReport& report, std::int64_t now_ms,
                              const std::function<Result<>(std::int64_t at_ms)>& along = {});

  // Whatever is applied in `body` commits together (TelemetryStore::together). When it fails nothing of it happened.
  Result<> together(TelemetryStore& telemetry, const std::function<Result<>()>& body);

  // What the pairs say now; nullopt when nothing has changed since the last look and that was a moment ago.
  Result<std::optional<GateLook>> look(const Rollout& rollout, std::int64_t now_ms);
  // The last look at a gate that is attached.
  std::optional<GateLook> latest(const std::string& rollout) const;

 private:
  struct PairState {
    GatePairRow row;
    telemetry::PairEvidence evidence;
  };
  struct Gate {
    std::string model, new_version, old_version;
    LiveGatePolicy policy;
    std::vector<Pair> pairs;
    std::vector<PairState> states;  // in the order of `pairs`
    bool news = true;               // something came in since the last look
    std::int64_t first_started_ms = 0;
    std::optional<GateLook> last;
  };
  struct Place {  // of a device in a gate
    std::string rollout;
    std::size_t pair = 0;
    bool canary = false;
  };

  Result<std::vector<PairState>> load_states(const std::string& rollout, std::size_t pairs);
  Result<> reload();
  Result<UploadVerdict> merge(TelemetryStore& telemetry, const std::string& device,
                              const telemetry::WindowReport& report, std::int64_t now_ms,
                              const std::function<Result<>(std::int64_t at_ms)>& along);
  Result<> start(Gate& gate, const std::string& rollout, PairState& state, const Pair& pair, std::int64_t now_ms);
  telemetry::PairLook look_at(const Gate& gate, const PairState& state, Progress canary, std::int64_t now_ms) const;
  std::optional<GatePairRow> taken(const Gate& gate, const Place& place, const telemetry::ReleaseWindow& window,
                                   std::int64_t began_ms, std::int64_t now_ms) const;

  Database& database_;
  GateStore store_;
  BaselineStore baselines_;
  mutable std::recursive_mutex mutex_;  // guards below; recursive because together()'s body calls apply()
  bool together_ = false;
  bool ahead_ = false;  // the pairs in memory may show what is not on disk: read them again before they are used
  std::map<std::string, Gate> gates_;
  std::multimap<std::string, Place> places_;  // by device
};

// One line for the rollout's log: the numbers behind the decision.
std::string describe(const telemetry::Verdict& verdict);

}  // namespace ferry::server
