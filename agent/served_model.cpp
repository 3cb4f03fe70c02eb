// Requests, releases that change under them, and workers that die.
#include "agent/served_model.hpp"

#include "agent/class_scores.hpp"
#include "runtime/self_test.hpp"
#include "runtime/worker_protocol.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

namespace ferry::agent {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

namespace {

constexpr std::size_t shadow_latencies_max = 2048;
constexpr std::uint64_t progress_every = 32;
constexpr auto progress_interval = std::chrono::seconds{1};
// However unlucky a request is with workers that die of others, it ends.
constexpr int rounds_max = 16;

// The caller's fault, or nobody's: says nothing about the release.
bool blames_model(const Error& error) { return error.code != Errc::bad_input && error.code != Errc::unavailable; }

}  // namespace

// A request that waits; on the coroutine's own frame.
struct ServedModel::Waiter {
  explicit Waiter(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
};

ServedModel::ServedModel(asio::io_context& io, ServedLimits limits, Signal signal, Memory memory, Shadowed shadowed)
    : io_(io),
      limits_(limits),
      signal_(std::move(signal)),
      memory_(std::move(memory)),
      shadowed_(std::move(shadowed)) {}

ServedModel::~ServedModel() {
  *here_ = false;
  stop();
}

asio::awaitable<void> ServedModel::wait_for_change(Steady::time_point until) {
  Waiter waiter(io_);
  waiter.timer.expires_at(until);
  waiting_.push_back(&waiter);
  auto place = std::prev(waiting_.end());
  struct Leave {
    std::list<Waiter*>& list;
    std::list<Waiter*>::iterator place;
    ~Leave() { list.erase(place); }
  } leave{waiting_, place};
  boost::system::error_code cancelled_is_news;
  auto token = asio::redirect_error(asio::use_awaitable, cancelled_is_news);
  co_await waiter.timer.async_wait(token);
}

void ServedModel::wake_waiting() {
  for (auto* waiter : waiting_) waiter->timer.cancel();
}

asio::awaitable<Result<std::shared_ptr<ModelInstance>>> ServedModel::active_ready() {
  auto until = Steady::now() + limits_.wait;
  for (;;) {
    if (!active_) co_return Error{Errc::not_found, "no release of this model is active on this device"};
    if (active_->ready()) co_return active_;
    if (closing_ || Steady::now() >= until) {
      co_return Error{Errc::unavailable,
                      "model " + active_->release()->model + ": its worker is being restarted; try again"};
    }
    co_await wait_for_change(until);
  }
}

asio::awaitable<Result<Answered>> ServedModel::infer(const InferenceRequest& request) {
  Error last{Errc::unavailable, "the worker died too often; try again"};
  int charged = 0;  // how often a worker died while it was working on this very request
  bool died = false;
  for (int round = 0; round < rounds_max && charged < limits_.tries; ++round) {
    CO_TRY(auto instance, co_await active_ready());
    bool on_trial = probation_ && instance == active_;
    Json head = infer_request(request.inputs, request.outputs);
    auto limit = instance->worker()->limits().infer;
    auto worker = instance->worker();
    auto answer = co_await worker->ask(std::move(head), request.inputs, limit);
    if (answer) {
      auto taken = take(*instance, std::move(*answer));
      if (taken) {
        if (on_trial) note_probation(nullptr, false);
        if (shadow_) mirror_later(request, *taken);
        co_return taken;
      }
      answer = std::move(taken).error();
    }
    last = std::move(answer).error();
    died = !worker->alive();
    if (last.code == Errc::cancelled && died) continue;  // it had not begun: ask whoever is active now
    if (on_trial && blames_model(last)) {
      note_probation(&last, died);
      // The fallback answers what the candidate could not; it may be the active one again by now.
      auto fallback = active_ == instance ? previous_ : active_;
      if (!died && fallback && fallback->ready()) {
        auto spare = fallback->worker();
        Json again = infer_request(request.inputs, request.outputs);
        auto second = co_await spare->ask(std::move(again), request.inputs, limit);
        if (second) co_return take(*fallback, std::move(*second));
      }
    }
    if (died) {
      ++charged;
      continue;
    }
    if (last.code == Errc::bad_input) ++counts_.bad_requests;
    break;
  }
  if (last.code != Errc::bad_input) ++counts_.failed;
  if (died) {
    last.code = Errc::unavailable;
    if (charged > 0)
      last.context = "the worker died of this request (tries: " + std::to_string(charged) + "): " + last.context;
  }
  co_return last;
}

Result<Answered> ServedModel::take(ModelInstance& instance, WorkerAnswer answer) {
  Answered answered;
  answered.release = instance.release();
  answered.class_output = instance.class_output();
  answered.body = std::make_unique<std::string>(std::move(answer.body));
  auto outputs = runtime::tensors_from_frame(answer.head, "outputs", *answered.body);
  if (!outputs) {
    return Error{Errc::internal, "the worker's answer: " + outputs.error().context, "trial.errors"};
  }
  answered.outputs = std::move(*outputs);
  ++counts_.succeeded;
  if (auto spent = integer_or(answer.head, "compute_us", 0, 0))
    counts_.compute_us += static_cast<std::uint64_t>(*spent);
  return answered;
}

void ServedModel::note_probation(const Error* error, bool died) {
  auto& report = probation_report_;
  ++report.requests;
  if (error != nullptr) {
    ++report.errors;
    if (died) ++report.crashes;
    if (report.reason.empty()) {
      report.reason = error->reason.empty() ? "trial.errors" : error->reason;
      report.message = error->context;
    }
  }
  progress(report.requests);
}

void ServedModel::progress(std::uint64_t count) {
  auto now = Steady::now();
  if (count % progress_every != 0 && now - progress_told_ < progress_interval) return;
  progress_told_ = now;
  signal_(ActivatorSignal::candidate_progress);
}

// After the live answer is on its way, and only when the candidate is idle: a copy never makes a request wait.
void ServedModel::mirror_later(const InferenceRequest& request, const Answered& answered) {
  if (!candidate_ || !candidate_->ready() || candidate_->worker()->waiting() > 0) return;
  Copy copy{runtime::copies_of(request.inputs), request.outputs, answered.release, {}};
  if (shadowed_) copy.active_scores = class_scores(answered.outputs, answered.class_output);
  auto send = [this, here = here_, candidate = candidate_, copy = std::move(copy)]() mutable {
    if (*here && shadow_ && candidate_ == candidate && candidate->ready() && candidate->worker()->waiting() == 0) {
      mirror(candidate, std::move(copy));
    }
  };
  asio::post(io_, std::move(send));
}

// Agreement needs no label: the shares of right answers differ by no more than the share that disagrees.
void ServedModel::compare(const ModelInstance& candidate, const Copy& copy, const WorkerAnswer& answer) {
  if (!shadowed_ || copy.active_scores.empty()) return;
  auto outputs = runtime::tensors_from_frame(answer.head, "outputs", answer.body);
  if (!outputs) return;
  const auto scores = class_scores(*outputs, candidate.class_output());
  if (!scores.empty()) shadowed_({*candidate.release(), *copy.active, scores, copy.active_scores});
}

void ServedModel::mirror(const std::shared_ptr<ModelInstance>& candidate, Copy copy) {
  auto kept = std::make_shared<Copy>(std::move(copy));
  auto views = runtime::views_of(kept->inputs);
  auto outputs = kept->outputs;
  auto worker = candidate->worker();
  auto counted = [this, here = here_, candidate, kept](const Result<WorkerAnswer>& answer) {
    if (!*here || candidate_ != candidate) return;
    auto& report = shadow_report_;
    ++report.mirrored;
    if (answer) {
      compare(*candidate, *kept, *answer);
      auto spent = integer_or(answer->head, "compute_us", 0, 0);
      if (shadow_us_.size() < shadow_latencies_max) {
        shadow_us_.push_back(spent ? *spent : 0);
      } else {
        shadow_us_[report.mirrored % shadow_latencies_max] = spent ? *spent : 0;
      }
    } else {
      ++report.errors;
      if (!candidate->worker()->alive()) ++report.crashes;
      if (report.reason.empty()) {
        report.reason = answer.error().reason.empty() ? "trial.errors" : answer.error().reason;
        report.message = answer.error().context;
      }
    }
    progress(report.mirrored);
  };
  worker->call(infer_request(views, outputs), views, worker->limits().infer, std::move(counted));
}

ShadowReport ServedModel::shadow_report() const {
  auto report = shadow_report_;
  report.latency_p50_us = static_cast<std::uint64_t>(runtime::percentile(shadow_us_, 0.50));
  report.latency_p99_us = static_cast<std::uint64_t>(runtime::percentile(shadow_us_, 0.99));
  return report;
}

void ServedModel::listen_to_active(const std::shared_ptr<ModelInstance>& instance) {
  instance->on_change([this, here = here_](ModelInstance::Change change) {
    if (!*here) return;
    if (change == ModelInstance::Change::died) {
      ++counts_.restarts;
      signal_(ActivatorSignal::active_died);
    }
    if (change == ModelInstance::Change::unloadable) signal_(ActivatorSignal::active_unloadable);
    wake_waiting();
  });
  listen_to_memory(instance);
  instance->supervise(true);
}

void ServedModel::listen_to_memory(const std::shared_ptr<ModelInstance>& instance) {
  if (!memory_) return;
  instance->on_memory([this, here = here_, weak = std::weak_ptr(instance)](std::uint64_t bytes) {
    auto self = weak.lock();
    if (*here && self && self == active_) memory_(*self->release(), bytes);
  });
}

void ServedModel::make_active(std::shared_ptr<ModelInstance> instance) {
  fall_back();
  auto old = std::exchange(active_, std::move(instance));
  if (old && old != active_) old->stop();
  listen_to_active(active_);
  wake_waiting();
}

void ServedModel::set_candidate(std::shared_ptr<ModelInstance> instance) {
  fall_back();
  candidate_ = std::move(instance);
  shadow_report_ = {};
  shadow_us_.clear();
  probation_report_ = {};
  candidate_->on_change([this, here = here_, weak = std::weak_ptr(candidate_)](ModelInstance::Change change) {
    auto self = weak.lock();
    if (*here && self && change == ModelInstance::Change::died) candidate_died(self);
  });
}

// In shadow: it is out. In probation: the old release answers again before anybody is told.
void ServedModel::candidate_died(const std::shared_ptr<ModelInstance>& instance) {
  const auto& death = instance->worker()->death();
  if (probation_ && active_ == instance) {
    if (probation_report_.crashes == 0) {  // it died between two requests
      ++probation_report_.crashes;
      ++probation_report_.errors;
    }
    if (probation_report_.reason.empty())
      probation_report_.reason = death.reason, probation_report_.message = death.message;
    active_ = std::exchange(previous_, nullptr);
    probation_ = false;
    wake_waiting();
  } else if (candidate_ == instance) {
    if (shadow_report_.crashes == 0) ++shadow_report_.crashes;
    if (shadow_report_.reason.empty()) shadow_report_.reason = death.reason, shadow_report_.message = death.message;
    shadow_ = false;
  } else {
    return;
  }
  signal_(ActivatorSignal::candidate_died);
}

Result<> ServedModel::begin_shadow() {
  if (!candidate_) return Error{Errc::conflict, "shadow: no candidate has been proved"};
  if (!candidate_->ready()) {
    auto death = candidate_->worker()->death();
    return Error{Errc::internal, "shadow: the candidate is not running: " + death.message, death.reason};
  }
  shadow_ = true;
  return {};
}

Result<> ServedModel::take_over() {
  if (!candidate_) return Error{Errc::conflict, "take over: no candidate has been proved"};
  if (!candidate_->ready()) {
    auto death = candidate_->worker()->death();
    fall_back();
    return Error{Errc::internal, "take over: the candidate died: " + death.message, death.reason};
  }
  shadow_ = false;
  probation_report_ = {};
  previous_ = std::exchange(active_, std::exchange(candidate_, nullptr));
  probation_ = true;
  listen_to_memory(active_);
  wake_waiting();
  return {};
}

bool ServedModel::commit(const SlotContents& release) {
  if (!active_ || active_->release()->manifest_sha256 != release.manifest_sha256 ||
      active_->release()->variant != release.variant) {
    return false;
  }
  if (probation_ && !active_->ready()) return false;
  active_->relabel(release);
  if (!probation_) return true;
  probation_ = false;
  if (previous_) std::exchange(previous_, nullptr)->stop();
  listen_to_active(active_);
  return true;
}

void ServedModel::fall_back() {
  shadow_ = false;
  if (candidate_) std::exchange(candidate_, nullptr)->stop();
  if (!probation_) return;
  probation_ = false;
  auto failed = std::exchange(active_, std::exchange(previous_, nullptr));
  if (failed) failed->stop();  // what it was asked already, it still answers
  wake_waiting();
}

void ServedModel::stop() {
  fall_back();
  if (active_) std::exchange(active_, nullptr)->stop();
  wake_waiting();
}

void ServedModel::close() {
  closing_ = true;
  wake_waiting();
}

std::string ServedModel::state() const {
  if (!active_) return "none";
  if (active_->ready()) return "serving";
  return active_->state() == ModelInstance::State::down ? "down" : "loading";
}

}  // namespace ferry::agent
