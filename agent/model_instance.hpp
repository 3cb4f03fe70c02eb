// One release in one worker: load it, answer from it, bring it back when its worker dies.
#pragma once
#include "agent/activator.hpp"
#include "agent/worker_process.hpp"

#include <memory>
#include <string>
#include <vector>

namespace ferry::agent {

// Pure: how long to wait before the n-th restart in a row (n from 1). The first few are at once: a request waits for
// them.
Duration restart_delay(int deaths_in_a_row);
constexpr auto healthy_after = std::chrono::seconds{60};  // a worker that lived this long starts the count anew

// Pure: the loaded model offers what the signed contract promises. unsupported with reason contract.mismatch naming the
// tensor.
Result<> check_contract(const std::vector<runtime::TensorInfo>& inputs, const std::vector<runtime::TensorInfo>& outputs,
                        const ota::Manifest& manifest);

// Lives on the io thread; hold it by shared_ptr. Stops its worker when it goes.
class ModelInstance : public std::enable_shared_from_this<ModelInstance> {
 public:
  enum class State { idle, loading, ready, down };
  enum class Change {
    ready,      // loaded (again)
    died,       // the worker of a ready instance died; its pending requests have been failed
    unloadable  // a restart did not bring it back; the next try follows with back-off
  };
  ModelInstance(boost::asio::io_context& io, WorkerLaunch launch, SlotContents release, Log& log);
  ~ModelInstance();

  // Starts a worker and loads the release. Exactly one call of `loaded`, not from inside start(). Errors carry a
  // reason: trial.load, trial.memory, trial.crash, trial.hang, slot.corrupt, contract.mismatch, device.runtime.
  void start(std::function<void(Result<>)> loaded);
  // Restart by itself from now on (or no more); a supervised instance that is down starts at once.
  void supervise(bool on);
  void on_change(std::function<void(Change)> listener) { listener_ = std::move(listener); }
  // Resident bytes of the worker, now and then while it works.
  void on_memory(std::function<void(std::uint64_t bytes)> listener) { memory_listener_ = std::move(listener); }
  // Pending requests are answered, then the worker ends; no restart, no further change.
  void stop();

  bool ready() const { return state_ == State::ready && worker_->alive(); }
  State state() const { return state_; }
  bool supervised() const { return supervised_; }
  const std::shared_ptr<const SlotContents>& release() const { return release_; }
  void relabel(const SlotContents& release);                                  // same bytes, other rollout and arm
  const std::vector<runtime::TensorInfo>& inputs() const { return inputs_; }  // of the last load
  const std::vector<runtime::TensorInfo>& outputs() const { return outputs_; }
  const std::string& class_output() const { return class_output_; }  // "" when there is none
  const std::string& runtime_version() const { return runtime_version_; }
  // The worker of this moment; null before the first start.
  const std::shared_ptr<WorkerProcess>& worker() const { return worker_; }
  std::string name() const;

 private:
  void loaded(Result<WorkerAnswer> answer, const std::function<void(Result<>)>& done);
  Result<> take_metadata(const Json& head);
  void died();
  void restart_later();
  void tell(Change change);

  struct Timer;
  boost::asio::io_context& io_;
  WorkerLaunch launch_;
  std::shared_ptr<const SlotContents> release_;
  Log& log_;
  std::unique_ptr<Timer> restart_;
  State state_ = State::idle;
  bool supervised_ = false;
  bool stopped_ = false;
  int deaths_ = 0;  // in a row
  std::chrono::steady_clock::time_point ready_since_{};
  std::shared_ptr<WorkerProcess> worker_;
  std::vector<runtime::TensorInfo> inputs_;
  std::vector<runtime::TensorInfo> outputs_;
  std::string class_output_;
  std::string runtime_version_;
  std::function<void(Change)> listener_;
  std::function<void(std::uint64_t)> memory_listener_;
};

}  // namespace ferry::agent
