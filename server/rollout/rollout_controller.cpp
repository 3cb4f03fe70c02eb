// Load, feed, persist, publish.
#include "server/rollout/rollout_controller.hpp"

#include "server/fleet/event_batch.hpp"
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

Rollout* RolloutController::meant_by(const InboxRow& fact) {
  if (!fact.rollout.starts_with(fact_by_release)) return loaded(fact.rollout);
  const std::string_view release = std::string_view(fact.rollout).substr(fact_by_release.size());
  for (const auto& [model, rollouts] : by_model_)
    for (const Rollout* rollout : rollouts)  // the newest first
      if (rollout->head.recalled && rollout->plan.manifest_sha256.hex() == release &&
          rollout->progress_of(fact.device) == Progress::committed)
        return loaded(rollout->plan.id);
  return nullptr;
}

void RolloutController::tell(const Rollout& rollout) {
  hub_.publish("rollouts", "changed", rollout.plan.id);
  hub_.publish("rollout:" + rollout.plan.id, "changed", rollout.plan.id);
  hub_.publish("overview", "changed", "");
}

ModelRollouts RolloutController::rollouts_of(const std::string& model) const {
  const auto found = by_model_.find(model);
  return found == by_model_.end() ? ModelRollouts{} : found->second;
}

Result<RolloutPlan> RolloutController::plan_of(const NewRollout& wanted, const ReleaseRow& release,
                                               const ModelRollouts& others, std::int64_t now_ms) {
  RolloutPlan plan;
  TRY(plan.selector, Selector::parse(wanted.selector));
  for (const Rollout* other : others) {
    if (!is_terminal(other->head.status))
      return Error{Errc::conflict,
                   "rollout " + other->plan.id + " of " + wanted.model + " is " +
                       std::string(to_string(other->head.status)) + "; abort it first or wait for its end",
                   "rollout_active"};
    if (plan.from_version.empty() && other->head.status == RolloutStatus::done) plan.from_version = other->plan.version;
  }
  if (!wanted.lift_quarantine && quarantined(release.manifest_sha256, others))
    return Error{Errc::conflict,
                 "release " + wanted.model + " " + wanted.version +
                     ": a rollout of it failed; publish another one, or say that its quarantine is to be lifted",
                 "release_quarantined"};
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
  return plan;
}

Result<RolloutPreview> RolloutController::preview(const NewRollout& wanted, const ReleaseRow& release) {
  std::lock_guard writer(writer_);
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  RolloutPreview preview;
  TRY(preview.rollout.plan, plan_of(wanted, release, rollouts_of(wanted.model), now_ms));
  index_pairs(preview.rollout);
  preview.selection = selection_of(preview.rollout);
  return preview;
}

Result<std::string> RolloutController::create(const NewRollout& wanted, const ReleaseRow& release) {
  std::lock_guard writer(writer_);
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  TRY(RolloutPlan plan, plan_of(wanted, release, rollouts_of(wanted.model), now_ms));
  plan.id = random_.id("ro");
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
  std::vector<telemetry::PairCandidate> canaries, others_of_it;  // without a choice by hand: all are among the others
  std::size_t selected = 0;
  const Phase& first = plan.policy.phases.front();
  for (const DevicePtr& device : fleet_.all()) {
    const auto facts = device->facts();
    if (device->revoked || !plan.selector.matches(facts->labels)) continue;
    ++selected;
    if (device->running(plan.model) != (*current)->plan.manifest_sha256) continue;
    const bool chosen = first.selector && first.selector->matches(facts->labels);
    (chosen ? canaries : others_of_it)
        .push_back({device->id, stratum_of(facts->hardware_class, facts->labels, plan.policy.gate->strata)});
  }
  plan.pairs = first.selector ? choose_controls(std::move(canaries), std::move(others_of_it), plan.salt)
                              : choose_pairs(std::move(others_of_it), phase_size(selected, first), plan.salt);
  if (plan.pairs.empty())
    return Error{Errc::bad_input, "policy: gate: of " + std::to_string(selected) +
                                      " selected devices no two of one stratum run " + plan.model + " " +
                                      plan.from_version + ": there is nothing to compare"};
  return {};
}

Result<bool> RolloutController::judge(Rollout& rollout, std::int64_t now_ms) {
  const bool watched = rollout.head.status == RolloutStatus::running || rollout.head.status == RolloutStatus::paused;
  if (!watched || !rollout.gated() || rollout.in_last_phase()) return false;
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

Result<bool> RolloutController::look_at_world(Rollout& rollout, std::int64_t now_ms) {
  if (!world_ || rollout.head.status != RolloutStatus::running || !rollout.gated() || rollout.in_last_phase())
    return false;
  const auto news = world_(rollout, now_ms);
  return news ? feed(rollout, *news, no_inbox_row) : Result<bool>(false);
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
  TRY_VOID(check_action(*rollout, event));
  const bool over = is_terminal(rollout->head.status);
  if (over && std::holds_alternative<Retried>(event)) TRY_VOID(check_reopening(*rollout));
  TRY(bool changed, feed(*rollout, event, no_inbox_row));
  if (!changed) return not_now(*rollout);
  if (over && !is_terminal(rollout->head.status) && rollout->gated()) return gates_.attach(rollout->plan);
  return {};
}

// A rollout that failed may go on only while nothing newer speaks for its model.
Result<> RolloutController::check_reopening(const Rollout& rollout) const {
  const Rollout* newest = rollouts_of(rollout.plan.model).front();
  if (newest == &rollout) return {};
  return Error{Errc::conflict, "rollout " + rollout.plan.id + ": " + newest->plan.id + " of " + rollout.plan.model +
                                   " is newer; make a new rollout for the devices that are left"};
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
  std::vector<std::pair<std::string, Labels>> devices;
  for (const DevicePtr& device : fleet_.all()) {
    const auto facts = device->facts();
    if (!device->revoked && rollout.plan.selector.matches(facts->labels))
      devices.emplace_back(device->id, facts->labels);
  }
  return make_selection(rollout.plan, std::move(devices));
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

std::string RolloutController::site_of(const Rollout& rollout, const Device& device) const {
  const auto& budget = rollout.plan.policy.site_budget;
  if (!budget) return {};
  const auto facts = device.facts();
  const auto label = facts->labels.find(budget->label);
  // Devices without the label are a site of their own, which no label value can be.
  return label == facts->labels.end() ? "=" : label->second;
}

void RolloutController::note_offer(const std::string& rollout, const std::string& device) {
  std::lock_guard lock(offers_mutex_);
  if (offers_.size() < offers_pending_max) offers_.try_emplace({rollout, device});
}

HoldBack RolloutController::holds_back(const Choice& choice, const Device& device, const ModelRollouts& rollouts,
                                       Reserve reserve) {
  const Rollout& rollout = *choice.rollout;
  const RolloutPolicy& policy = rollout.plan.policy;
  const bool late =
      rollout.head.status == RolloutStatus::done && device.running(rollout.plan.model) != rollout.plan.manifest_sha256;
  if (!policy.throttled() || !(choice.to_be_noted || late)) return HoldBack::none;
  OfferFacts offer;
  offer.now_ms = to_unix_ms(clock_.now());
  offer.utc_offset_s = device.utc_offset_s;
  if (policy.penalty)
    offer.failures = own_failures(device.id, rollouts, offer.now_ms - policy.penalty->within_s * 1000);
  if (late) return hold_back(policy, offer);  // it is over: nothing is in flight
  const std::string site = site_of(rollout, device);
  offer.in_flight = rollout.moving();
  if (const auto at_site = rollout.at_site.find(site); at_site != rollout.at_site.end())
    offer.at_site = at_site->second;
  std::lock_guard lock(offers_mutex_);
  const std::pair key{rollout.plan.id, device.id};
  if (offers_.contains(key)) return HoldBack::none;  // it has its place
  for (auto other = offers_.lower_bound({rollout.plan.id, ""});
       other != offers_.end() && other->first.first == rollout.plan.id; ++other) {
    ++offer.in_flight;
    if (other->second == site) ++offer.at_site;
  }
  if (offers_.size() >= offers_pending_max) return HoldBack::in_flight;
  const HoldBack answer = hold_back(policy, offer);
  if (answer == HoldBack::none && reserve == Reserve::yes) offers_.emplace(key, site);
  return answer;
}

std::string RolloutController::waits_for(const Rollout& rollout, const std::string& device) {
  const DevicePtr known = fleet_.find(device);
  if (!known || rollout.head.status != RolloutStatus::running) return {};
  const auto facts = known->facts();
  if (!in_phase(rollout, device, facts->labels)) return {};
  std::string answer;
  read([&](const std::map<std::string, ModelRollouts>& by_model) {
    const auto rollouts = by_model.find(rollout.plan.model);
    if (rollouts == by_model.end()) return;
    answer = to_string(holds_back(Choice{&rollout, true, true}, *known, rollouts->second, Reserve::no));
  });
  return answer;
}

Result<bool> RolloutController::take_offers() {
  std::map<std::pair<std::string, std::string>, std::string> offers;
  {
    std::lock_guard lock(offers_mutex_);
    offers = offers_;
  }
  bool changed = false;
  const std::int64_t now_ms = to_unix_ms(clock_.now());
  for (const auto& [key, ignored] : offers) {
    const auto& [id, device] = key;
    Rollout* rollout = loaded(id);
    if (!rollout) continue;
    const DevicePtr known = fleet_.find(device);
    const std::string site = known ? site_of(*rollout, *known) : "";
    const bool offered = decide(*rollout, Offered{device, now_ms, site}, cached_selection(*rollout)).changes(*rollout);
    // It runs the release already (an earlier rollout, a reinstalled server): there is nothing to wait for. One step,
    // not two: killed in between, the device would be offered what it never reports on.
    const bool has_it = offered && known && known->running(rollout->plan.model) == rollout->plan.manifest_sha256;
    const RolloutEvent event = has_it ? RolloutEvent(Reported{device, Progress::committed, "", now_ms, site})
                                      : RolloutEvent(Offered{device, now_ms, site});
    TRY(bool noted, feed(*rollout, event, no_inbox_row));
    changed = changed || noted;
  }
  // Only now: a place counts as taken until the rollout counts it.
  std::lock_guard lock(offers_mutex_);
  for (const auto& [key, ignored] : offers) offers_.erase(key);
  return changed;
}

Result<bool> RolloutController::take_inbox() {
  bool changed = false;
  while (true) {
    TRY(auto rows, devices_.inbox(inbox_batch_max));
    for (const InboxRow& row : rows) {
      Rollout* rollout = meant_by(row);
      if (!rollout) {
        TRY_VOID(devices_.remove_inbox(row.id));
        continue;
      }
      const DevicePtr known = fleet_.find(row.device);
      const std::string site = known ? site_of(*rollout, *known) : "";
      TRY(bool fed, feed(*rollout, Reported{row.device, row.state, row.reason, row.at_ms, site}, row.id));
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
    // Before the gate: what it says of a world that has changed promotes nobody.
    TRY(bool paused, look_at_world(*rollout, now_ms));
    changed = changed || ticked || paused;
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
