// The loop around the pure machine. Order of durability: state, then report and status, then commands.
#include "agent/update_driver.hpp"

namespace ferry::agent {
namespace {

Json event_of(const std::string& model, const ota::Report& report) {
  bool lost = report.state == ota::ReportState::slot_lost;
  Json event{{"at_ms", report.at_ms},
             {"kind", lost ? "alarm" : "update"},
             {"model", model},
             {"version", report.version},
             {"manifest_sha256", report.manifest_sha256.hex()},
             {"rollout", report.rollout},
             {"reason", report.reason},
             {"variant", report.variant},
             {"slot", report.slot},
             {"detail", {{"message", report.message}}}};
  event["state"] = lost ? "" : std::string(to_string(report.state));
  return event;
}

Json status_of(const ota::SlotState& state) {
  Json active = nullptr;
  if (const auto* entry = state.active_entry())
    active = Json{{"version", entry->version},
                  {"slot", to_string(*state.active)},
                  {"counter", entry->counter},
                  {"manifest_sha256", entry->manifest_sha256.hex()},
                  {"variant", entry->variant},
                  {"variant_reason", entry->variant_reason},
                  {"state", ""}};
  return Json{{"model", state.model},
              {"active", std::move(active)},
              {"slots", ota::slots_to_json(state)},
              {"update", ota::update_to_json(state.update)},
              {"rejected", ota::rejected_to_json(state)},
              {"last_reason", state.report.reason},
              {"floor", state.floor}};
}

}  // namespace

UpdateDriver::UpdateDriver(DataTree data, std::string model, DriverPorts ports, DriverLimits limits)
    : model_(std::move(model)),
      ports_(std::move(ports)),
      limits_(limits),
      sleeper_(ports_.clock),
      store_(data.root, model_, ports_.log),
      wall_base_ms_(to_unix_ms(ports_.clock.now())),
      steady_base_(ports_.clock.monotonic()) {}

UpdateDriver::~UpdateDriver() { stop(); }

void UpdateDriver::start() {
  thread_ = std::thread([this] {
    if (auto booted = boot(); !booted) {
      ports_.log.error("updates of this model are off", {{"model", model_}, {"error", booted.error().context}});
      return;
    }
    while (!sleeper_.stopped()) {
      Duration wait = turn();
      sleeper_.sleep(wait);
    }
  });
}

void UpdateDriver::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    cancel_ = true;
  }
  sleeper_.stop();
  if (thread_.joinable()) thread_.join();
}

void UpdateDriver::assign(const ota::AssignedRelease& release) {
  {
    std::lock_guard lock(mutex_);
    if (assigned_ == release) return;
    assigned_ = release;
    assignment_new_ = true;
    if (busy_with_ && *busy_with_ != release.manifest_sha256) cancel_ = true;
  }
  sleeper_.wake();
}

void UpdateDriver::recall(const std::optional<Recall>& recall) {
  {
    std::lock_guard lock(mutex_);
    if (recall_ == recall) return;
    recall_ = recall;
  }
  sleeper_.wake();
}

void UpdateDriver::signal(ActivatorSignal signal) {
  if (signal == ActivatorSignal::active_unloadable) {
    std::lock_guard lock(mutex_);
    check_active_ = true;
  }
  sleeper_.wake();
}

std::int64_t UpdateDriver::now_ms() const {
  auto steady = std::chrono::duration_cast<Duration>(ports_.clock.monotonic() - steady_base_);
  return wall_base_ms_ + steady.count();
}

void UpdateDriver::begin_busy(const Digest& release) {
  std::lock_guard lock(mutex_);
  busy_with_ = release;
  cancel_ = stopping_ || (assigned_ && assigned_->manifest_sha256 != release);
}

void UpdateDriver::end_busy() {
  std::lock_guard lock(mutex_);
  busy_with_.reset();
}

bool UpdateDriver::interrupted() const { return cancel_.load() || sleeper_.stopped(); }

Result<> UpdateDriver::boot() {
  TRY(state_, store_.open());
  if (store_.rebuilt()) {
    // The spool must not take the reports of the new state for repeats of the lost one's.
    auto highest = ports_.spool.highest_number(model_);
    if (highest) state_.report.number = *highest;
    Json event{{"at_ms", now_ms()},
               {"kind", "alarm"},
               {"model", model_},
               {"reason", "slot.corrupt"},
               {"detail", {{"message", "both copies of the slot state were damaged; rebuilt from the slots"}}}};
    if (auto told = ports_.spool.append(event); !told) ports_.log.warn("event lost", {{"error", told.error().context}});
  }
  told_number_ = store_.rebuilt() ? state_.report.number : 0;
  outcome_number_ = state_.report.number;
  scrub_at_ = ports_.clock.monotonic() + limits_.scrub_interval;
  publish();
  if (state_.active) run_one(ota::Serve{state_.active});
  feed(ota::Restarted{now_ms()});
  return {};
}

Duration UpdateDriver::turn() {
  tell_report();
  interrupt_with_assignment();
  look_round_while_staged();
  auto now = ports_.clock.monotonic();
  if (unfinished_ && now < retry_at_) return std::chrono::ceil<Duration>(retry_at_ - now);
  if (unfinished_) {
    ota::Command command = *std::exchange(unfinished_, std::nullopt);
    (void)run(command);  // it queues its outcome, or is unfinished again
  }
  drain();
  if (!unfinished_) {
    scrub();
    drain();
    watch_trial();
    drain();
    take_recall();
    take_assignment();
  }
  return wait_after_turn();
}

Duration UpdateDriver::wait_after_turn() const {
  if (sleeper_.stopped()) return Duration{0};
  {
    std::lock_guard lock(mutex_);
    if (assignment_new_ || check_active_) return Duration{0};
  }
  if (unfinished_) return limits_.disk_retry;
  if (std::holds_alternative<ota::Trial>(state_.update)) return limits_.trial_poll;
  if (!std::holds_alternative<ota::Idle>(state_.update)) return limits_.disk_retry;
  auto now = ports_.clock.monotonic();
  if (held_ && held_->until > now) return std::min(limits_.idle_poll, std::chrono::ceil<Duration>(held_->until - now));
  return limits_.idle_poll;
}

// A new assignment is shown to a busy machine at once. When it stays where it was (the same release under new words),
// a command that was cut runs again.
void UpdateDriver::interrupt_with_assignment() {
  std::optional<ota::AssignedRelease> assigned;
  {
    std::lock_guard lock(mutex_);
    if (!assignment_new_) return;
    if (std::holds_alternative<ota::Idle>(state_.update)) return;  // take_assignment's business
    assignment_new_ = false;
    assigned = assigned_;
  }
  auto cut = std::exchange(unfinished_, std::nullopt);
  std::size_t before = state_.update.index();
  Digest release = ota::release_of(state_.update)->manifest_sha256;
  feed(ota::Assigned{*assigned, now_ms()});
  drain();
  const auto* after = ota::release_of(state_.update);
  if (cut && !unfinished_ && state_.update.index() == before && after->manifest_sha256 == release) {
    unfinished_ = std::move(cut);
    retry_at_ = ports_.clock.monotonic();
  }
}

// Waiting for the maintenance window may take days: a recall and the scrub do not wait with it.
void UpdateDriver::look_round_while_staged() {
  if (!unfinished_ || !std::holds_alternative<ota::BeginTrial>(*unfinished_)) return;
  auto waiting = std::exchange(unfinished_, std::nullopt);
  scrub();
  drain();
  if (!unfinished_) take_recall();
  if (!unfinished_ && std::holds_alternative<ota::Staged>(state_.update)) unfinished_ = std::move(waiting);
}

// Shown at every turn: a recall that had nothing to go back to may have now.
void UpdateDriver::take_recall() {
  std::optional<Recall> recall;
  {
    std::lock_guard lock(mutex_);
    recall = recall_;
  }
  if (!recall) return;
  feed(ota::Recalled{recall->manifest_sha256, recall->reason, recall->message, now_ms()});
  drain();
}

// An idle machine is shown the present assignment at every turn, unless that release failed a short while ago.
void UpdateDriver::take_assignment() {
  if (!std::holds_alternative<ota::Idle>(state_.update)) return;
  std::optional<ota::AssignedRelease> assigned;
  {
    std::lock_guard lock(mutex_);
    assigned = assigned_;
    assignment_new_ = false;
  }
  if (!assigned) return;
  auto now = ports_.clock.monotonic();
  bool held =
      held_ && held_->release == assigned->manifest_sha256 && held_->rollout == assigned->rollout && now < held_->until;
  if (held) return;
  wall_base_ms_ = to_unix_ms(ports_.clock.now());  // between updates a clock that was set meanwhile is believed
  steady_base_ = now;
  feed(ota::Assigned{*assigned, now_ms()});
  drain();
}

void UpdateDriver::feed(ota::Event event) { queue_.push_back(std::move(event)); }

void UpdateDriver::drain() {
  while (!queue_.empty() && !unfinished_) {
    ota::Event event = std::move(queue_.front());
    queue_.pop_front();
    std::vector<ota::Command> commands;
    if (auto advanced = advance(event, commands); !advanced) {
      // Nothing was decided: the same fact is told again when the disk takes writes again.
      ports_.log.error("slot state not written", {{"model", model_}, {"error", advanced.error().context}});
      queue_.push_front(std::move(event));
      sleeper_.sleep(limits_.disk_retry);
      if (sleeper_.stopped()) return;
      continue;
    }
    for (const auto& command : commands)
      if (run(command) != CommandResult::done) break;
  }
}

Result<> UpdateDriver::advance(const ota::Event& event, std::vector<ota::Command>& commands) {
  ota::Step next = ota::step(state_, event);
  if (!(next.state == state_)) {
    TRY_VOID(store_.save(next.state));
    ports_.log.info("update", {{"model", model_},
                               {"event", name_of(event)},
                               {"from", name_of(state_.update)},
                               {"to", name_of(next.state.update)},
                               {"reason", next.state.report.reason}});
    state_ = std::move(next.state);
    publish();
    remember_outcome();
  }
  commands = std::move(next.commands);
  return {};
}

void UpdateDriver::publish() {
  ports_.status.set_model(model_, status_of(state_));
  tell_report();
}

void UpdateDriver::tell_report() {
  if (state_.report.number <= told_number_) return;
  auto fresh = ports_.spool.append_once(model_, state_.report.number, event_of(model_, state_.report));
  if (!fresh) {
    ports_.log.warn("event not spooled yet", {{"model", model_}, {"error", fresh.error().context}});
    return;  // the report stays in the state: told at a later turn or after a restart
  }
  told_number_ = state_.report.number;
  Json slots{{"at_ms", now_ms()}, {"kind", "slots"}, {"model", model_}, {"detail", ports_.status.slots_detail()}};
  if (auto told = ports_.spool.append(slots); !told)
    ports_.log.warn("event lost", {{"model", model_}, {"error", told.error().context}});
  ports_.events_wait();
}

// A release that could not be installed waits longer each time before it is tried again.
void UpdateDriver::remember_outcome() {
  const ota::Report& report = state_.report;
  if (report.number == outcome_number_) return;
  outcome_number_ = report.number;
  bool failed = report.state == ota::ReportState::failed || report.state == ota::ReportState::refused;
  if (!failed) return;
  Held held{report.manifest_sha256, report.rollout, 0, {}};
  if (held_ && held_->release == held.release && held_->rollout == held.rollout) held.times = held_->times + 1;
  auto wait = std::min(limits_.hold_first * (std::int64_t{1} << std::min(held.times, 16)), limits_.hold_max);
  held.until = ports_.clock.monotonic() + wait;
  held_ = held;
}

UpdateDriver::CommandResult UpdateDriver::run(const ota::Command& command) {
  CommandResult result = std::visit([this](const auto& one) { return run_one(one); }, command);
  if (result == CommandResult::again_later) {
    unfinished_ = command;
    retry_at_ = ports_.clock.monotonic() + limits_.disk_retry;
  }
  return result;
}

// Bit-rot of the active slot is found here or when its worker cannot load it.
void UpdateDriver::scrub() {
  bool asked = false;
  {
    std::lock_guard lock(mutex_);
    asked = std::exchange(check_active_, false);
  }
  if (!asked && ports_.clock.monotonic() < scrub_at_) return;
  scrub_at_ = ports_.clock.monotonic() + limits_.scrub_interval;
  const auto* entry = state_.active_entry();
  if (entry == nullptr) return;
  auto verified = store_.verify(*state_.active, entry->manifest_sha256, entry->variant);
  if (!verified) feed(ota::SlotDamaged{*state_.active, verified.error().context, now_ms()});
}

Result<SlotContents> UpdateDriver::contents(ota::SlotName slot, const Digest& manifest, const std::string& variant,
                                            const std::string& variant_reason, const std::string& rollout,
                                            const std::string& arm) {
  TRY(auto files, store_.verify(slot, manifest, variant));
  SlotContents release;
  release.model = model_;
  release.version = files.manifest->version;
  release.counter = files.manifest->counter;
  release.manifest_sha256 = manifest;
  release.slot = to_string(slot);
  release.variant = variant;
  release.variant_reason = variant_reason;
  release.directory = files.directory;
  release.manifest = files.manifest;
  release.rollout = rollout;
  release.arm = arm;
  return release;
}

Result<SlotContents> UpdateDriver::candidate() {
  const auto& trial = std::get<ota::Trial>(state_.update);
  return contents(trial.slot, trial.release.manifest_sha256, trial.variant, trial.variant_reason, trial.release.rollout,
                  trial.release.arm);
}

Result<SlotContents> UpdateDriver::active() {
  const auto* entry = state_.active_entry();
  if (entry == nullptr) return Error{Errc::not_found, "no active release"};
  return contents(*state_.active, entry->manifest_sha256, entry->variant, entry->variant_reason, entry->rollout,
                  entry->arm);
}

}  // namespace ferry::agent
