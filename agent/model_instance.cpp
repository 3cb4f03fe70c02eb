// The life of an instance: idle, loading, ready, down, and back.
#include "agent/model_instance.hpp"

#include "ota/manifest.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

namespace ferry::agent {
namespace {

namespace asio = boost::asio;

constexpr int restarts_at_once = 3;
constexpr Duration restart_delay_first{100};
constexpr Duration restart_delay_max = std::chrono::seconds{30};
constexpr std::int64_t bytes_per_mib = 1024 * 1024;
// The budget is private memory; on top come the pages of programs and libraries, which every worker has.
constexpr std::int64_t memory_beside_budget_bytes = 128 * bytes_per_mib;

Result<std::vector<runtime::TensorInfo>> infos_at(const Json& head, std::string_view key) {
  TRY(const Json* array, array_at(head, key, runtime::tensors_max));
  std::vector<runtime::TensorInfo> infos;
  for (const auto& item : *array) {
    TRY(auto info, runtime::tensor_info_from_json(item));
    infos.push_back(std::move(info));
  }
  return infos;
}

// Both sides may leave a dimension open; two numbers must be equal.
bool compatible(const std::vector<std::int64_t>& promised, const runtime::Shape& offered) {
  if (promised.size() != offered.size()) return false;
  for (std::size_t at = 0; at < promised.size(); ++at) {
    if (promised[at] != -1 && offered[at] != -1 && promised[at] != offered[at]) return false;
  }
  return true;
}

Result<> check_side(std::string_view side, const std::vector<ota::TensorSpec>& promised,
                    const std::vector<runtime::TensorInfo>& offered, bool complete) {
  auto mismatch = [side](const std::string& name, const std::string& what) {
    return Error{Errc::unsupported, "contract: " + std::string(side) + " \"" + name + "\": " + what,
                 "contract.mismatch"};
  };
  for (const auto& spec : promised) {
    auto found = std::ranges::find(offered, spec.name, &runtime::TensorInfo::name);
    if (found == offered.end()) return mismatch(spec.name, "promised, but the model has none of this name");
    if (spec.datatype != to_string(found->datatype) || !compatible(spec.shape, found->shape)) {
      return mismatch(spec.name, spec.datatype + " " + runtime::to_string(spec.shape) + " promised, the model has " +
                                     std::string(to_string(found->datatype)) + " " + runtime::to_string(found->shape));
    }
  }
  if (!complete) return {};
  for (const auto& info : offered) {
    if (std::ranges::find(promised, info.name, &ota::TensorSpec::name) == promised.end()) {
      return mismatch(info.name, "the model needs it, the contract does not name it");
    }
  }
  return {};
}

}  // namespace

struct ModelInstance::Timer {
  explicit Timer(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
};

Duration restart_delay(int deaths_in_a_row) {
  if (deaths_in_a_row <= restarts_at_once) return Duration{0};
  int doublings = std::min(deaths_in_a_row - restarts_at_once - 1, 16);
  return std::min(restart_delay_first * (1 << doublings), restart_delay_max);
}

Result<> check_contract(const std::vector<runtime::TensorInfo>& inputs, const std::vector<runtime::TensorInfo>& outputs,
                        const ota::Manifest& manifest) {
  TRY_VOID(check_side("input", manifest.contract.inputs, inputs, true));
  return check_side("output", manifest.contract.outputs, outputs, false);
}

ModelInstance::ModelInstance(asio::io_context& io, WorkerLaunch launch, SlotContents release, Log& log)
    : io_(io),
      launch_(std::move(launch)),
      release_(std::make_shared<const SlotContents>(std::move(release))),
      log_(log),
      restart_(std::make_unique<Timer>(io)),
      class_output_(release_->manifest->contract.class_output) {}

ModelInstance::~ModelInstance() {
  if (worker_) worker_->stop();
}

std::string ModelInstance::name() const { return release_->model + " " + release_->version + " " + release_->variant; }

void ModelInstance::relabel(const SlotContents& release) { release_ = std::make_shared<const SlotContents>(release); }

void ModelInstance::start(std::function<void(Result<>)> done) {
  state_ = State::loading;
  auto refuse = [&](Error error, const char* reason) {
    state_ = State::down;
    if (error.reason.empty()) error.reason = reason;
    asio::post(io_, [done = std::move(done), error = std::move(error)] { done(error); });
  };
  const auto* variant = release_->manifest->variant(release_->variant);
  if (variant == nullptr) {
    return refuse(Error{Errc::internal, "variant \"" + release_->variant + "\" is not in the manifest"}, "trial.load");
  }
  auto worker = WorkerProcess::start(io_, launch_, name(), log_);
  if (!worker) return refuse(std::move(worker).error(), "device.runtime");  // not the release's fault
  worker_ = std::move(*worker);
  worker_->on_death([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->died();
  });
  auto memory_bytes_max = variant->budget.memory_mib_or_default() * bytes_per_mib;
  worker_->watch_memory(static_cast<std::uint64_t>(memory_bytes_max + memory_beside_budget_bytes),
                        [weak = weak_from_this()](std::uint64_t bytes) {
                          auto self = weak.lock();
                          if (self && self->memory_listener_) self->memory_listener_(bytes);
                        });
  auto request = load_request(release_->directory / variant->file.name, variant->file.sha256.hex(),
                              variant->file.length_bytes, memory_bytes_max);
  auto answered = [self = shared_from_this(), done = std::move(done)](Result<WorkerAnswer> answer) {
    self->loaded(std::move(answer), done);
  };
  worker_->call(std::move(request), {}, launch_.limits.load, std::move(answered));
}

void ModelInstance::loaded(Result<WorkerAnswer> answer, const std::function<void(Result<>)>& done) {
  Result<> result;
  if (!answer) {
    result = std::move(answer).error();
  } else {
    result = take_metadata(answer->head);
  }
  if (stopped_) {
    worker_->stop();
    return done(Error{Errc::cancelled, name() + ": no longer wanted"});
  }
  if (result) {
    state_ = State::ready;
    ready_since_ = std::chrono::steady_clock::now();
    log_.info("model loaded", {{"model", release_->model},
                               {"version", release_->version},
                               {"variant", release_->variant},
                               {"slot", release_->slot},
                               {"pid", worker_->pid()}});
    done(result);
    return tell(Change::ready);
  }
  state_ = State::down;
  worker_->kill({});
  auto error = std::move(result).error();
  if (error.reason.empty()) error.reason = "trial.load";
  log_.warn("model does not load", {{"model", release_->model},
                                    {"version", release_->version},
                                    {"reason", error.reason},
                                    {"message", error.context}});
  done(std::move(error));
}

Result<> ModelInstance::take_metadata(const Json& head) {
  TRY(inputs_, infos_at(head, "inputs"));
  TRY(outputs_, infos_at(head, "outputs"));
  TRY(const Json* runtime, object_at(head, "runtime"));
  TRY(runtime_version_, string_at(*runtime, "version", 64));
  return check_contract(inputs_, outputs_, *release_->manifest);
}

void ModelInstance::died() {
  if (state_ != State::ready || stopped_) return;  // a death while loading is the load's failure
  state_ = State::down;
  bool lived = std::chrono::steady_clock::now() - ready_since_ >= healthy_after;
  deaths_ = lived ? 1 : deaths_ + 1;
  auto self = shared_from_this();
  tell(Change::died);
  if (supervised_ && state_ == State::down) restart_later();
}

void ModelInstance::restart_later() {
  if (stopped_ || !supervised_) return;
  restart_->timer.expires_after(restart_delay(deaths_));
  auto fired = [weak = weak_from_this()](boost::system::error_code code) {
    auto self = weak.lock();
    if (code || !self || self->stopped_ || !self->supervised_ || self->state_ != State::down) return;
    auto done = [self](const Result<>& result) {
      if (result || self->stopped_) return;
      ++self->deaths_;
      self->tell(Change::unloadable);
      self->restart_later();
    };
    self->start(done);
  };
  restart_->timer.async_wait(std::move(fired));
}

void ModelInstance::supervise(bool on) {
  supervised_ = on;
  if (on && state_ == State::down && !stopped_) restart_later();
}

void ModelInstance::stop() {
  stopped_ = true;
  supervised_ = false;
  listener_ = {};
  memory_listener_ = {};
  restart_->timer.cancel();
  if (worker_ && state_ != State::loading) worker_->stop();
  if (worker_ && state_ == State::loading) worker_->kill({});
}

void ModelInstance::tell(Change change) {
  auto listener = listener_;  // it may stop this instance, and with that take itself away
  if (listener) listener(change);
}

}  // namespace ferry::agent
