// Load, feed, persist, publish.
#include "server/rollout/rollout_controller.hpp"

#include "server/rollout/pairing.hpp"
#include "telemetry/judge_record.hpp"

namespace ferry::server {
namespace {

constexpr std::int64_t no_inbox_row = 0;

Error not_now(const Rollout& rollout) {
  return Error{Errc::conflict, "rollout " + rollout.plan.id + " is " + std::string(to_string(rollout.head.status)) +
                                   ", which does not allow this action"};
}

}  // namespace

RolloutController::RolloutController(Database& database, Fleet& fleet, Clock& clock, Random& random, EventHub& hub,
                                     Log& log)
    : database_(database),
      fleet_(fleet),
      clock_(clock),
      random_(random),
      hub_(hub),
      log_(log),
      store_(database),
      devices_(database),
      verdicts_(database),
      gates_(database) {}

Result<> RolloutController::load() {
  std::lock_guard writer(writer_);
  TRY(auto ids, store_.newest(rollouts_in_memory_per_model));
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    auto rollout = store_.load(*id);
    if (!rollout) return std::move(rollout).error().within("rollout " + *id);
    if (rollout->gated() && !is_terminal(rollout->head.status)) TRY_VOID(gates_.attach(rollout->plan));
    put(std::make_unique<Rollout>(std::move(*rollout)));
  }
  return {};
}

void RolloutController::put(std::unique_ptr<Rollout> rollout) {
  std::unique_lock lock(state_);
  ModelRollouts& list = by_model_[rollout->plan.model];
  list.insert(list.begin(), rollout.get());
  rollouts_[rollout->plan.id] = std::move(rollout);
  while (list.size() > static_cast<std::size_t>(rollouts_in_memory_per_model)) {
    rollouts_.erase(list.back()->plan.id);
    list.pop_back();
  }
  ++generation_;
}

Rollout* RolloutController::loaded(const std::string& id) {
  const auto found = rollouts_.find(id);
  return found == rollouts_.end() ? nullptr : found->second.get();
}

void RolloutController::tell(const Rollout& rollout) {
  hub_.publish("rollouts", "changed", rollout.plan.id);
  hub_.publish("rollout:" + rollout.plan.id, "changed", rollout.plan.id);
  hub_.publish("overview", "changed", "");
}

Result<std::string> RolloutController::create(const NewRollout& wanted, const ReleaseRow& release) {
  RolloutPlan plan;
  TRY(plan.selector, Selector::parse(wanted.selector));
  std::lock_guard writer(writer_);
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  const auto of_model = by_model_.find(wanted.model);
  const ModelRollouts others = of_model == by_model_.end() ? ModelRollouts{} : of_model->second;
  for (const Rollout* other : others) {
    if (!is_terminal(other->head.status))
      return Error{Errc::conflict,
                   "rollout " + other->plan.id + " of " + wanted.model + " is " +
                       std::string(to_string(other->head.status)) + "; abort it first or wait for its end",
                   "rollout_active"};
    if (plan.from_version.empty() && other->head.status == RolloutStatus::done) plan.from_version = other->plan.version;
  }
  plan.id = random_.id("ro");
  plan.name = wanted.name.empty() ? wanted.model + " " + wanted.version : wanted.name;
  plan.model = release.model;
  plan.version = release.version;
  plan.target = release.model + "/" + release.version + "/manifest.json";
  plan.manifest_sha256 = release.manifest_sha256;
  plan.manifest_length = release.manifest_length;
  plan.counter = release.counter;
  plan.policy = wanted.policy;
  plan.salt = random_.id("salt");
  plan.created_ms = now_ms;
  // Two in one millisecond must still have an order: the newest decides what devices get.
  for (const Rollout* other : others) plan.created_ms = std::max(plan.created_ms, other->plan.created_ms + 1);
  plan.created_by = wanted.by;
  if (plan.policy.gate) TRY_VOID(plan_gate(plan, others));
  const Decision first = begin(plan, now_ms);
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    TRY_VOID(store_.insert(plan, first));
    return gates_.open(plan);
  }));
  if (plan.policy.gate) TRY_VOID(gates_.attach(plan));
  auto rollout = std::make_unique<Rollout>();
  rollout->plan = std::move(plan);
  index_pairs(*rollout);
  apply(*rollout, first);
  Rollout& kept = *rollout;
  const std::string id = kept.plan.id;
  put(std::move(rollout));
  log_.info("rollout created",
            {{"rollout", id}, {"model", kept.plan.model}, {"version", kept.plan.version}, {"by", wanted.by}});
  tell(kept);
  TRY(bool sized, feed(kept, Ticked{now_ms}, no_inbox_row));
  (void)sized;
  return id;
}

// Canaries and controls are drawn among the devices that run the release to compare with, and frozen here.
Result<> RolloutController::plan_gate(RolloutPlan& plan, const ModelRollouts& others) {
  const auto current = std::ranges::find_if(others, [&](const Rollout* other) {
    return other->head.status == RolloutStatus::done && other->plan.version == plan.from_version;
  });
  if (current == others.end())
    return Error{Errc::bad_input, "policy: gate: " + plan.model +
                                      " has no current release to compare with; roll the first one out without"};
  std::vector<telemetry::PairCandidate> candidates;
  std::size_t selected = 0;
  for (const DevicePtr& device : fleet_.all()) {
    const auto facts = device->facts();
    if (device->revoked || !plan.selector.matches(facts->labels)) continue;
    ++selected;
    if (device->running(plan.model) != (*current)->plan.manifest_sha256) continue;
    candidates.push_back({device->id, stratum_of(facts->hardware_class, facts->labels, plan.policy.gate->strata)});
  }
  const std::size_t canaries = phase_size(selected, plan.policy.phases.front().percent);
  plan.pairs = choose_pairs(std::move(candidates), canaries, plan.salt);
  if (plan.pairs.empty())
    return Error{Errc::bad_input, "policy: gate: of " + std::to_string(selected) +
                                      " selected devices no two of one stratum run " + plan.model + " " +
                                      plan.from_version + ": there is nothing to compare"};
  return {};
}

Result<bool> RolloutController::judge(Rollout& rollout, std::int64_t now_ms) {
  if (rollout.head.status != RolloutStatus::running || !rollout.gated() || rollout.in_last_phase()) return false;
  TRY(auto look, gates_.look(rollout, now_ms));
  if (!look) return false;
  Judged event;
  event.decision = telemetry::to_string(look->verdict.decision);
  event.reason = telemetry::to_string(look->verdict.reasons.front());
  event.expired = look->verdict.expired;
  event.detail = describe(look->verdict);
  for (const telemetry::PairEvidence& pair : look->evidence.pairs)
    if (pair.canary_silent) event.silent.push_back(pair.canary);
  event.at_ms = now_ms;
  // Whatever the rollout's log says of the gate, the evidence behind it is on record.
  TRY(bool changed, feed(rollout, event, no_inbox_row, [&]() -> Result<> {
        return verdicts_.add_verdict(
            rollout.plan.id, {now_ms, event.decision, telemetry::print_verdict({look->evidence, look->verdict})});
      }));
  if (!changed) hub_.publish("rollout:" + rollout.plan.id, "gate", rollout.plan.id);
  return changed;
}

Result<> RolloutController::act(const std::string& id, const RolloutEvent& event,
                                std::optional<std::int64_t> revision) {
  std::lock_guard writer(writer_);
  Rollout* rollout = loaded(id);
  if (!rollout) {
    TRY(const Rollout old, store_.load(id));  // only those that are over leave the memory
    return not_now(old);
  }
  if (revision && *revision != rollout->head.revision)
    return Error{Errc::conflict,
                 "If-Match: found \"" + std::to_string(*revision) + "\", the rollout is at \"" +
                     std::to_string(rollout->head.revision) + "\": read it again",
                 "precondition_failed"};
  TRY(bool changed, feed(*rollout, event, no_inbox_row));
  if (!changed) return not_now(*rollout);
  return {};
}

const Selection& RolloutController::cached_selection(const Rollout& rollout) {
  static const Selection nobody;
  if (is_terminal(rollout.head.status)) {
    selections_.erase(rollout.plan.id);
    return nobody;
  }
  Cached& cached = selections_[rollout.plan.id];
  const std::uint64_t membership = fleet_.membership();
  if (cached.membership != membership) {
    cached.selection = selection_of(rollout);
    cached.membership = membership;
  }
  return cached.selection;
}

Selection RolloutController::selection_of(const Rollout& rollout) const {
  std::vector<std::string> devices;
  for (const DevicePtr& device : fleet_.all())
    if (!device->revoked && rollout.plan.selector.matches(device->facts()->labels)) devices.push_back(device->id);
  return make_selection(rollout.plan.salt, std::move(devices));
}

Result<bool> RolloutController::feed(Rollout& rollout, const RolloutEvent& event, std::int64_t inbox_id,
                                     const std::function<Result<>()>& along) {
  const Decision decision = decide(rollout, event, cached_selection(rollout));
  const bool changed = decision.changes(rollout);
  if (!changed && inbox_id == no_inbox_row) return false;
  // The fact leaves the inbox in the transaction that stores what it did: killed anywhere, it counts exactly once.
  TRY_VOID(database_.transaction([&](Database&) -> Result<> {
    if (inbox_id != no_inbox_row) TRY_VOID(devices_.remove_inbox(inbox_id));
    if (!changed) return {};
    if (along) TRY_VOID(along());
    return store_.save(rollout.plan.id, decision);
  }));
  if (!changed) return false;
  const RolloutStatus before = rollout.head.status;
  {
    std::unique_lock lock(state_);
    apply(rollout, decision);
  }
  if (is_terminal(rollout.head.status)) {
    selections_.erase(rollout.plan.id);
    gates_.detach(rollout.plan.id);
  }
  if (decision.assignments_changed) ++generation_;
  for (const auto& [device, progress] : decision.devices)
    if (const DevicePtr known = fleet_.find(device)) ++known->version;
  for (const Verdict& entry : decision.log)
    log_.info("rollout " + entry.decision, {{"rollout", rollout.plan.id},
                                            {"phase", entry.phase},
                                            {"verdict", entry.verdict},
                                            {"detail", entry.detail},
                                            {"by", entry.by}});
  tell(rollout);
  if (before != rollout.head.status)
    hub_.publish("releases", "changed", rollout.plan.model + "/" + rollout.plan.version);
  return true;
}

void RolloutController::note_offer(const std::string& rollout, const std::string& device) {
  std::lock_guard lock(offers_mutex_);
  if (offers_.size() < offers_pending_max) offers_.emplace(rollout, device);
}

Result<bool> RolloutController::take_offers() {
  std::set<std::pair<std::string, std::string>> offers;
  {
    std::lock_guard lock(offers_mutex_);
    offers.swap(offers_);
  }
  bool changed = false;
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  for (const auto& [id, device] : offers) {
    Rollout* rollout = loaded(id);
    if (!rollout) continue;
    const DevicePtr known = fleet_.find(device);
    const bool offered = decide(*rollout, Offered{device, now_ms}, cached_selection(*rollout)).changes(*rollout);
    // It runs the release already (an earlier rollout, a reinstalled server): there is nothing to wait for. One step,
    // not two: killed in between, the device would be offered what it never reports on.
    const bool has_it = offered && known && known->running(rollout->plan.model) == rollout->plan.manifest_sha256;
    const RolloutEvent event = has_it ? RolloutEvent(Reported{device, Progress::committed, "", now_ms})
                                      : RolloutEvent(Offered{device, now_ms});
    TRY(bool noted, feed(*rollout, event, no_inbox_row));
    changed = changed || noted;
  }
  return changed;
}

Result<bool> RolloutController::take_inbox() {
  bool changed = false;
  while (true) {
    TRY(auto rows, devices_.inbox(inbox_batch_max));
    for (const InboxRow& row : rows) {
      Rollout* rollout = loaded(row.rollout);
      if (!rollout) {
        TRY_VOID(devices_.remove_inbox(row.id));
        continue;
      }
      TRY(bool fed, feed(*rollout, Reported{row.device, row.state, row.reason, row.at_ms}, row.id));
      changed = changed || fed;
    }
    if (rows.size() < static_cast<std::size_t>(inbox_batch_max)) return changed;
  }
}

Result<> RolloutController::drain() {
  std::lock_guard writer(writer_);
  TRY(bool changed, take_inbox());
  (void)changed;
  return {};
}

Result<bool> RolloutController::turn() {
  std::lock_guard writer(writer_);
  TRY(bool changed, take_inbox());
  TRY(bool offered, take_offers());
  changed = changed || offered;
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  for (auto& [id, rollout] : rollouts_) {
    if (is_terminal(rollout->head.status)) continue;
    TRY(bool ticked, feed(*rollout, Ticked{now_ms}, no_inbox_row));
    changed = changed || ticked;
    // A gate that cannot be judged holds its own rollout, and nobody else's.
    auto judged = judge(*rollout, now_ms);
    if (!judged) log_.error("live gate", {{"rollout", id}, {"error", judged.error().context}});
    changed = changed || (judged && *judged);
  }
  return changed;
}

void RolloutController::read(const std::function<void(const std::map<std::string, ModelRollouts>&)>& look) const {
  std::shared_lock lock(state_);
  look(by_model_);
}

Result<Rollout> RolloutController::find(const std::string& id) {
  {
    std::shared_lock lock(state_);
    const auto found = rollouts_.find(id);
    if (found != rollouts_.end()) return *found->second;
  }
  return store_.load(id);
}

}  // namespace ferry::server
