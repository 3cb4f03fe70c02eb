// The agent's end of telemetry: docs/formats/telemetry.md.
#include "agent/telemetry_link.hpp"

#include "agent/input_sanity.hpp"
#include "agent/status.hpp"
#include "ota/manifest.hpp"
#include "telemetry/alarm.hpp"
#include "telemetry/reference_profile.hpp"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>

namespace ferry::agent {
namespace {
constexpr std::int64_t day_ms = 86'400'000;
constexpr std::size_t typical_upload_bytes = 800;  // what must fit the day's budget for a window of its own
constexpr int uploads_per_round_max = 32;          // then other traffic gets its turn
}  // namespace

Result<std::unique_ptr<TelemetryLink>> TelemetryLink::open(const Identity& identity, std::string boot,
                                                           Database& database, Clock& clock, Log& log,
                                                           const CollectorConfig& collector,
                                                           const TelemetryConfig& limits) {
  telemetry::WindowReceiver receiver;
  if (!collector.url.empty()) receiver = {collector.url, collector.temporality};
  telemetry::Spool::Limits spool_limits;
  spool_limits.bytes_max = static_cast<std::uint64_t>(limits.spool_bytes_max);
  spool_limits.age_ms_max = limits.spool_days_max * day_ms;
  TRY(auto spool, telemetry::Spool::open(database, spool_limits, receiver));
  auto link = std::unique_ptr<TelemetryLink>(
      new TelemetryLink(identity, std::move(boot), std::move(spool), clock, log, collector, limits));
  TRY(const auto spent, link->spool_.budget());
  if (spent.at_ms != 0) link->budget_.restore(spent);
  return link;
}

TelemetryLink::TelemetryLink(const Identity& identity, std::string boot, telemetry::Spool spool, Clock& clock, Log& log,
                             const CollectorConfig& collector, const TelemetryConfig& limits)
    : url_(collector.url.empty() ? identity.server + "/v1/metrics" : collector.url),
      install_(identity.install),
      boot_(std::move(boot)),
      headers_(collector.headers),
      clock_(clock),
      log_(log),
      recorder_(static_cast<std::uint64_t>(limits.window_inferences_max)),
      budget_(static_cast<std::uint64_t>(limits.bytes_per_day_max)),
      spool_(std::move(spool)),
      window_end_(clock.monotonic() + interval_) {}

// Histogram edges come from the release's own reference profile, so that device and gate can be compared.
const TelemetryLink::Known& TelemetryLink::known(const SlotContents& release) {
  const auto find = [&]() -> const Known* {
    for (std::size_t i = known_count_.load(std::memory_order_acquire); i-- > 0;) {
      const SlotContents& one = known_[i]->release;
      if (one.manifest_sha256 == release.manifest_sha256 && one.slot == release.slot && one.arm == release.arm &&
          one.rollout == release.rollout && one.model == release.model)
        return known_[i].get();
    }
    return nullptr;
  };
  if (const Known* found = find()) return *found;
  std::lock_guard lock(known_mutex_);
  if (const Known* found = find()) return *found;
  const std::size_t count = known_count_.load(std::memory_order_relaxed);
  if (count == known_max) return *known_.back();  // counted with the last: no device comes here
  auto made = std::make_unique<Known>();
  made->release = release;
  made->key = {release.model, release.version, release.manifest_sha256.hex(),
               release.slot,  release.rollout, release.arm};
  for (const ota::TensorSpec& input : release.manifest->contract.inputs)
    made->tensors.push_back(telemetry::plain_tensor_name(input.name) ? input.name
                                                                     : "input-" + std::to_string(made->tensors.size()));
  telemetry::Edges edges = telemetry::default_edges();
  if (auto bytes = read_file(release.directory / "reference.json", telemetry::reference_bytes_max))
    if (auto profile = telemetry::parse_reference_profile(*bytes)) edges = profile->edges();
  recorder_.describe(made->key, release.manifest->contract.labels.size(), std::move(edges));
  known_[count] = std::move(made);
  known_count_.store(count + 1, std::memory_order_release);
  return *known_[count];
}

std::size_t TelemetryLink::look_at_inputs(const Known& release, const InferenceSample& sample,
                                          std::span<telemetry::InputSeen> seen) const {
  const auto& promised = release.release.manifest->contract.inputs;
  std::size_t count = 0;
  for (const runtime::TensorView& tensor : sample.inputs) {
    const auto spec = std::ranges::find(promised, tensor.name, &ota::TensorSpec::name);
    if (spec == promised.end() || count == seen.size()) continue;
    seen[count].tensor = release.tensors[static_cast<std::size_t>(spec - promised.begin())];
    seen[count].stats = look_at_input(tensor);
    ++count;
  }
  return count;
}

void TelemetryLink::on_inference(const InferenceSample& sample) {
  const Known& release = known(sample.release);
  telemetry::InferenceSeen seen;
  seen.seconds = std::chrono::duration<double>(sample.latency).count();
  seen.error_type = sample.error_type;
  std::array<telemetry::InputSeen, telemetry::inputs_max> inputs;
  seen.inputs = {inputs.data(), look_at_inputs(release, sample, inputs)};
  telemetry::Prediction prediction;
  if (sample.error_type.empty()) {
    if (!sample.outputs.empty())
      seen.outputs = look_at_outputs(sample.outputs, release.release.manifest->contract.outputs);
    if (!sample.class_scores.empty()) {
      prediction = telemetry::read_prediction(sample.class_scores);
      seen.prediction = &prediction;
    }
  }
  const bool full = recorder_.record(release.key, seen);
  if (full) {
    recorder_.close(to_unix_ms(clock_.now()));
    full_ = true;
  }
  // Whether it is worth an alarm is decided by the uploading thread: called at the first finding and each time that
  // there are twice as many.
  bool odd = seen.outputs.nan > 0 || !sample.error_type.empty();
  for (const telemetry::InputSeen& input : seen.inputs)
    odd = odd || input.stats.with_nan > 0 || input.stats.out_of_range > 0;
  const bool worth_a_look = odd && std::has_single_bit(++findings_);
  if ((full || worth_a_look) && wake_) wake_();
}

void TelemetryLink::on_label(const LabelSample& sample) {
  recorder_.label(known(sample.release).key, std::string(sample.source), sample.correct,
                  std::chrono::duration<double>(sample.delay).count());
}

void TelemetryLink::on_unjoinable_label(const SlotContents& release) { recorder_.unjoinable_label(known(release).key); }

void TelemetryLink::on_refused_request(const SlotContents& release) { recorder_.refused_request(known(release).key); }

// NaN says nothing about agreement: it is a finding about outputs, in the trial as ever.
void TelemetryLink::on_shadow(const ShadowSample& sample) {
  const auto newer = telemetry::read_prediction(sample.candidate_scores);
  const auto older = telemetry::read_prediction(sample.active_scores);
  if (std::isnan(newer.confidence) || std::isnan(older.confidence)) return;
  recorder_.shadowed(known(sample.candidate).key, sample.active.version, static_cast<std::uint32_t>(older.top_class),
                     static_cast<std::uint32_t>(newer.top_class), std::abs(newer.confidence - older.confidence));
}

void TelemetryLink::on_worker_memory(const SlotContents& release, std::uint64_t bytes) {
  recorder_.worker_memory(known(release).key, bytes);
}

void TelemetryLink::set_interval(Duration interval) {
  std::lock_guard lock(mutex_);
  if (interval == interval_) return;
  window_end_ += interval - interval_;
  interval_ = interval;
}

Duration TelemetryLink::due_in() const {
  std::lock_guard lock(mutex_);
  auto now = clock_.monotonic();
  if (full_) return Duration{0};
  return now >= window_end_ ? Duration{0} : std::chrono::ceil<Duration>(window_end_ - now);
}

Result<> TelemetryLink::close_window() {
  std::lock_guard lock(mutex_);
  window_end_ = clock_.monotonic() + interval_;
  recorder_.close(to_unix_ms(clock_.now()));  // silence is not worth a flash write: nothing then
  return spool_closed();
}

// What the disk does not take waits in memory and is tried again with the next window.
Result<> TelemetryLink::spool_closed() {
  full_ = false;
  auto closed = recorder_.take_closed();
  const bool lengthen = !budget_.allows(typical_upload_bytes, to_unix_ms(clock_.now()));
  for (std::size_t i = 0; i < closed.size(); ++i) {
    closed[i].install = install_;
    closed[i].boot = boot_;
    closed[i].agent_version = agent_version;
    if (auto added = spool_.add(closed[i], lengthen); !added) {
      recorder_.put_back({std::make_move_iterator(closed.begin() + static_cast<std::ptrdiff_t>(i)),
                          std::make_move_iterator(closed.end())});
      return added;
    }
  }
  return {};
}

// Each once in a process's life.
void TelemetryLink::raise_alarms() {
  if (!alarm_) return;
  for (const telemetry::SanityTotals& totals : recorder_.sanity()) {
    for (const telemetry::Alarm& alarm : telemetry::hard_alarms(totals)) {
      if (!raised_.insert(totals.key.manifest_sha256 + alarm.reason).second) continue;
      log_.error("alarm", {{"model", totals.key.model},
                           {"version", totals.key.version},
                           {"reason", alarm.reason},
                           {"message", alarm.message}});
      Json event{{"kind", "alarm"},
                 {"at_ms", to_unix_ms(clock_.now())},
                 {"model", totals.key.model},
                 {"version", totals.key.version},
                 {"manifest_sha256", totals.key.manifest_sha256},
                 {"reason", alarm.reason},
                 {"detail", {{"message", alarm.message}}}};
      alarm_(event);
    }
  }
}

Result<telemetry::Spool::Counts> TelemetryLink::counts() {
  std::lock_guard lock(mutex_);
  return spool_.counts();
}

void TelemetryLink::close_due_window() {
  raise_alarms();
  Result<> kept = Result<>();
  {
    std::lock_guard lock(mutex_);
    if (full_ && clock_.monotonic() < window_end_) kept = spool_closed();
  }
  if (kept && due_in() == Duration{0}) kept = close_window();
  if (!kept) log_.warn("telemetry windows wait in memory", {{"error", kept.error().context}});
}

Result<> TelemetryLink::upload(HttpClient& http) {
  close_due_window();
  for (int sent = 0; sent < uploads_per_round_max; ++sent) {
    std::optional<telemetry::Spool::Pending> pending;
    {
      std::lock_guard lock(mutex_);
      TRY(pending, spool_.oldest());
      if (!pending) return {};
      const std::int64_t now_ms = to_unix_ms(clock_.now());
      if (!budget_.allows(pending->upload.size(), now_ms)) return {};  // longer windows until the budget has grown
      budget_.spend(pending->upload.size(), now_ms);
    }
    HttpRequest request;
    request.method = "POST";
    request.url = url_;
    request.headers = headers_;
    request.headers["Content-Type"] = "application/x-protobuf";
    request.headers["Content-Encoding"] = "gzip";
    request.body = std::move(pending->upload);
    TRY(auto response, http.send(request));
    const bool never =
        response.status == 400 || response.status == 413 || response.status == 415 || response.status == 422;
    if (!never && response.status != 200) return error_from_status(response, "metrics");
    std::lock_guard lock(mutex_);
    if (never) {
      log_.error("the receiver refuses our telemetry; dropped",
                 {{"error", error_from_status(response, "metrics").context}});
      TRY_VOID(spool_.refuse(pending->id));
      continue;
    }
    if (const auto partial = telemetry::decode_otlp_response(response.body); !partial.message.empty())
      log_.warn("the receiver left data points out",
                {{"points", partial.rejected_data_points}, {"message", partial.message}});
    TRY_VOID(spool_.remove(pending->id, budget_.state()));
  }
  return {};
}

}  // namespace ferry::agent
