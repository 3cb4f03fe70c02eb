// The Activator's methods: each posts to the io thread and waits; only prove() does its work in steps from outside.
#include "agent/runtime_activator.hpp"

#include "agent/status.hpp"
#include "ota/manifest.hpp"
#include "runtime/self_test.hpp"
#include "runtime/worker_protocol.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <nlohmann/json.hpp>

namespace ferry::agent {
namespace {

// How soon a wait notices `cancel`, the deadline, or the end of the agent; an answer ends it at once.
constexpr auto turn = std::chrono::milliseconds{20};
constexpr Duration profile_limit = std::chrono::seconds{20};

Error not_open() { return Error{Errc::cancelled, "the agent's serving half is not open"}; }

}  // namespace

// Executed in place when the caller is the io thread already.
template <class Work>
std::optional<std::invoke_result_t<Work>> RuntimeActivator::on_io(Work work) const {
  if (!open_) return std::nullopt;
  auto executor = server_->io().get_executor();
  if (executor.running_in_this_thread()) return work();
  auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work>()>>(std::move(work));
  auto future = task->get_future();
  boost::asio::post(executor, [task] { (*task)(); });
  return wait(std::move(future));
}

template <class T>
std::optional<T> RuntimeActivator::wait(std::future<T> future, const std::function<void()>& at_each_turn) const {
  while (future.wait_for(turn) != std::future_status::ready) {
    if (!open_) return std::nullopt;
    if (at_each_turn) at_each_turn();
  }
  return future.get();
}

// One proof: the candidate's worker, the time it may take, and who may call it off.
class RuntimeActivator::Trial {
 public:
  Trial(RuntimeActivator& owner, std::shared_ptr<ModelInstance> instance, Duration limit,
        const std::atomic<bool>& cancel)
      : owner_(owner), instance_(std::move(instance)), cancel_(cancel), until_(owner.clock_.monotonic() + limit) {}

  // Runs it all. The candidate is loaded and good when this succeeds.
  Result<> run();

 private:
  Result<> golden_and_latency(const std::vector<runtime::GoldenSample>& samples);
  Result<runtime::Inference> infer(const std::vector<runtime::Tensor>& inputs);
  // Kills the worker when time is up or somebody called it off: whoever waits for an answer then gets one.
  void watch();
  Error explain(Error error) const;

  RuntimeActivator& owner_;
  std::shared_ptr<ModelInstance> instance_;
  const std::atomic<bool>& cancel_;
  std::chrono::nanoseconds until_;
  bool ended_ = false;
};

void RuntimeActivator::Trial::watch() {
  if (ended_ || (!cancel_ && owner_.clock_.monotonic() < until_)) return;
  ended_ = true;
  boost::asio::post(owner_.server_->io(), [instance = instance_] {
    if (instance->worker()) instance->worker()->kill({"trial.deadline", "not proved in time"});
  });
}

// What the worker's death looked like from a call is not always why: we may have killed it.
Error RuntimeActivator::Trial::explain(Error error) const {
  if (cancel_) return Error{Errc::cancelled, "the proof was called off"};
  if (ended_) return Error{Errc::timeout, "not proved in time: " + error.context, "trial.deadline"};
  if (error.reason.empty()) error.reason = "trial.errors";
  return error;
}

Result<runtime::Inference> RuntimeActivator::Trial::infer(const std::vector<runtime::Tensor>& inputs) {
  watch();
  auto promise = std::make_shared<std::promise<Result<WorkerAnswer>>>();
  auto future = promise->get_future();
  auto shared_inputs = std::make_shared<std::vector<runtime::Tensor>>(inputs);
  boost::asio::post(owner_.server_->io(), [instance = instance_, promise, shared_inputs] {
    auto views = runtime::views_of(*shared_inputs);
    auto worker = instance->worker();
    worker->call(infer_request(views, {}), views, worker->limits().infer,
                 [promise](Result<WorkerAnswer> answer) { promise->set_value(std::move(answer)); });
  });
  auto answer = owner_.wait(std::move(future), [this] { watch(); });
  if (!answer) return not_open();
  if (!*answer) return std::move(*answer).error();
  const WorkerAnswer& given = **answer;
  TRY(auto outputs, runtime::tensors_from_frame(given.head, "outputs", given.body));
  TRY(auto compute_us, integer_at(given.head, "compute_us", 0));
  return runtime::Inference{runtime::copies_of(outputs), std::chrono::microseconds{compute_us}};
}

Result<> RuntimeActivator::Trial::golden_and_latency(const std::vector<runtime::GoldenSample>& samples) {
  const auto& release = *instance_->release();
  const auto& variant = *release.manifest->variant(release.variant);
  auto infer_once = [this](const std::vector<runtime::Tensor>& inputs) { return infer(inputs); };
  runtime::GoldenRule rule{variant.golden_tolerance, release.manifest->contract.class_output};
  TRY(auto difference, runtime::run_golden(samples, rule, infer_once));
  runtime::LatencyPlan plan;
  plan.runs_max = 300;  // a device has other things to do; the active release answers beside it
  std::int64_t p50_us = 0;
  std::int64_t p99_us = 0;
  // Measured twice at most: somebody else may have had the processor the first time.
  for (int time = 0; time < 2; ++time) {
    TRY(auto figures, runtime::measure_latency(samples, plan, infer_once));
    p50_us = figures.p50_us;
    p99_us = figures.p99_us;
    if (!variant.budget.latency_p99_us || p99_us <= *variant.budget.latency_p99_us) break;
    if (time == 1) {
      return Error{Errc::gate_failed,
                   "latency: p99 of " + std::to_string(figures.runs) + " runs is " + std::to_string(p99_us) +
                       " us, the budget is " + std::to_string(*variant.budget.latency_p99_us) + " us",
                   "trial.latency"};
    }
  }
  // Memory needs no comparison: the budget is the worker's hard limit, and it has just lived within it.
  owner_.log_.info("candidate proved", {{"model", release.model},
                                        {"version", release.version},
                                        {"variant", release.variant},
                                        {"golden_samples", samples.size()},
                                        {"largest_difference", difference.largest},
                                        {"p50_us", p50_us},
                                        {"p99_us", p99_us}});
  return {};
}

Result<> RuntimeActivator::Trial::run() {
  const auto& release = *instance_->release();
  const auto* variant = release.manifest->variant(release.variant);
  if (variant == nullptr || !variant->golden) {
    return Error{Errc::bad_input, "variant \"" + release.variant + "\": no golden samples in the manifest",
                 "trial.golden"};
  }
  auto bytes = read_file(release.directory / variant->golden->name, runtime::golden_bytes_max);
  if (!bytes || sha256(*bytes) != variant->golden->sha256) {
    return Error{Errc::bad_signature, "golden samples: not the bytes that the manifest names", "slot.corrupt"};
  }
  auto samples = runtime::parse_golden(*bytes);
  if (!samples) return Error{samples.error().code, samples.error().context, "trial.golden"};
  auto loaded = owner_.load(instance_, [this] { watch(); });
  if (!loaded) return explain(std::move(loaded).error());
  auto proved = golden_and_latency(*samples);
  if (!proved) return explain(std::move(proved).error());
  return {};
}

Result<> RuntimeActivator::prove(const SlotContents& candidate, Duration limit, const std::atomic<bool>& cancel) {
  auto instance = on_io([&] {
    served(candidate.model).fall_back();
    return make_instance(candidate);
  });
  if (!instance) return not_open();
  auto result = Trial(*this, *instance, limit, cancel).run();
  auto placed = on_io([&]() -> Result<> {
    if (!result) {
      (*instance)->stop();
      return result;
    }
    if (!(*instance)->ready()) {
      const auto& death = (*instance)->worker()->death();
      return Error{Errc::internal, "the candidate died after its proof: " + death.message, death.reason};
    }
    served(candidate.model).set_candidate(*instance);
    return {};
  });
  if (!placed) return not_open();
  if (!*placed) return std::move(*placed).error().within(candidate.model + " " + candidate.version);
  return {};
}

ServedModel& RuntimeActivator::served(const std::string& model) {
  auto& slot = models_[model];
  if (!slot) {
    auto tell = [this, model](ActivatorSignal signal) {
      if (listener_) listener_(model, signal);
    };
    ServedModel::Memory sample;
    if (options_.observer != nullptr) {
      sample = [this](const SlotContents& release, std::uint64_t bytes) {
        options_.observer->on_worker_memory(release, bytes);
      };
    }
    ServedModel::Shadowed compared;
    if (options_.observer != nullptr)
      compared = [this](const ShadowSample& seen) { options_.observer->on_shadow(seen); };
    slot = std::make_unique<ServedModel>(server_->io(), served_limits_, std::move(tell), std::move(sample),
                                         std::move(compared));
  }
  return *slot;
}

std::shared_ptr<ModelInstance> RuntimeActivator::make_instance(const SlotContents& release) {
  return std::make_shared<ModelInstance>(server_->io(), launch_, release, log_);
}

Result<> RuntimeActivator::load(const std::shared_ptr<ModelInstance>& instance,
                                const std::function<void()>& at_each_turn) {
  auto promise = std::make_shared<std::promise<Result<>>>();
  auto future = promise->get_future();
  boost::asio::post(server_->io(), [instance, promise] {
    instance->start([promise](Result<> result) { promise->set_value(std::move(result)); });
  });
  auto loaded = wait(std::move(future), at_each_turn);
  return loaded ? std::move(*loaded) : not_open();
}

Result<> RuntimeActivator::start(const SlotContents& active) {
  auto instance = on_io([&]() -> std::shared_ptr<ModelInstance> {
    auto& model = served(active.model);
    if (model.active() && model.active()->ready() && model.commit(active)) return nullptr;  // it serves already
    return make_instance(active);
  });
  if (!instance) return not_open();
  if (!*instance) return {};
  auto loaded = load(*instance);
  auto placed = on_io([&] {
    auto& model = served(active.model);
    // A release that answers is never given up for one that does not load.
    if (loaded || !model.active() || !model.active()->ready()) model.make_active(*instance);
    return true;
  });
  if (!placed) return not_open();
  return loaded;
}

void RuntimeActivator::stop(const std::string& model) {
  on_io_now([&] { served(model).stop(); });
}

Result<> RuntimeActivator::begin_shadow(const std::string& model) {
  auto result = on_io([&] { return served(model).begin_shadow(); });
  return result ? std::move(*result) : not_open();
}

ShadowReport RuntimeActivator::shadow_report(const std::string& model) {
  auto report = on_io([&] { return served(model).shadow_report(); });
  return report ? std::move(*report) : ShadowReport{};
}

Result<> RuntimeActivator::take_over(const std::string& model) {
  auto result = on_io([&] { return served(model).take_over(); });
  return result ? std::move(*result) : not_open();
}

ProbationReport RuntimeActivator::probation_report(const std::string& model) {
  auto report = on_io([&] { return served(model).probation_report(); });
  return report ? std::move(*report) : ProbationReport{};
}

Result<> RuntimeActivator::commit(const SlotContents& release) {
  auto done = on_io([&] { return served(release.model).commit(release); });
  if (!done) return not_open();
  if (*done) return {};
  return start(release);
}

void RuntimeActivator::fall_back(const std::string& model) {
  on_io_now([&] { served(model).fall_back(); });
}

Result<Json> RuntimeActivator::hardware_profile() {
  std::lock_guard lock(profile_mutex_);
  if (profile_) return *profile_;
  TRY(Json document, ask_profile());
  TRY(const Json* profile, object_at(document, "profile"));
  profile_ = *profile;
  (*profile_)["agent_version"] = agent_version;
  return *profile_;
}

Result<Json> RuntimeActivator::ask_profile() {
  if (!open_) return not_open();
  auto promise = std::make_shared<std::promise<Result<Json>>>();
  auto future = promise->get_future();
  boost::asio::post(server_->io(), [this, promise] {
    auto worker = WorkerProcess::start(server_->io(), launch_, "profile", log_);
    if (!worker) return promise->set_value(std::move(worker).error());
    auto answered = [promise, worker = *worker](Result<WorkerAnswer> answer) {
      worker->stop();
      promise->set_value(answer ? Result<Json>(std::move(answer->head)) : Result<Json>(std::move(answer).error()));
    };
    (*worker)->call(Json{{"op", "profile"}}, {}, profile_limit, std::move(answered));
  });
  auto answer = wait(std::move(future));
  if (!answer) return not_open();
  if (!*answer) return std::move(*answer).error().within("hardware profile");
  return std::move(*answer);
}

std::string RuntimeActivator::serving_state(const std::string& model) const {
  auto state = on_io([&]() -> std::string {
    auto found = models_.find(model);
    return found == models_.end() ? "none" : found->second->state();
  });
  return state ? *state : "none";
}

void RuntimeActivator::on_io_now(const std::function<void()>& work) {
  on_io([&work] {
    work();
    return true;
  });
}

void RuntimeActivator::on_signal(std::function<void(const std::string&, ActivatorSignal)> listener) {
  listener_ = std::move(listener);
}

}  // namespace ferry::agent
