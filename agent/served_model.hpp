// One model as applications see it: whichever release answers, no request is lost while releases change.
#pragma once
#include "agent/model_instance.hpp"
#include "agent/open_inference.hpp"
#include "agent/serving.hpp"

#include <boost/asio/awaitable.hpp>
#include <list>
#include <memory>
#include <string>

namespace ferry::agent {

struct ServedLimits {
  Duration wait = std::chrono::seconds{15};  // how long a request waits for a worker that is being restarted
  int tries = 2;                             // a request whose worker died of it is tried this often
};

// An answered request. `outputs` view into `body`.
struct Answered {
  Answered() = default;
  Answered(Answered&&) = default;
  Answered& operator=(Answered&&) = default;
  std::shared_ptr<const SlotContents> release;
  std::string class_output;
  std::unique_ptr<std::string> body;  // stays where it is when this moves
  std::vector<runtime::TensorView> outputs;
};

struct ServedCounts {
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t bad_requests = 0;
  std::uint64_t compute_us = 0;  // sum over the succeeded
  std::uint64_t restarts = 0;    // workers that died
};

// Lives on the io thread; not thread-safe. The rules of agent/activator.hpp, for one model.
class ServedModel {
 public:
  using Signal = std::function<void(ActivatorSignal)>;
  using Memory = std::function<void(const SlotContents&, std::uint64_t bytes)>;  // of the worker that answers
  using Shadowed = std::function<void(const ShadowSample&)>;                     // classifiers only
  ServedModel(boost::asio::io_context& io, ServedLimits limits, Signal signal, Memory memory = {},
              Shadowed shadowed = {});
  ~ServedModel();

  // Waits until the active release is loaded; it tells inputs and outputs. Errors: not_found (no release is active),
  // unavailable (its worker does not come back in time).
  boost::asio::awaitable<Result<std::shared_ptr<ModelInstance>>> active_ready();
  // Asks the active release; if its worker dies of the request, the restarted one or the fallback. `request` lives in
  // the caller. Errors: bad_input (the request does not fit), not_found, unavailable (no worker, or each died of it:
  // then with the death's reason), else the model's with its reason.
  boost::asio::awaitable<Result<Answered>> infer(const InferenceRequest& request);

  // What the activator does. An instance given here is ready (or, for make_active, being brought back).
  void make_active(std::shared_ptr<ModelInstance> instance);  // others stop
  void set_candidate(std::shared_ptr<ModelInstance> instance);
  Result<> begin_shadow();
  Result<> take_over();
  // True when `release` is the active one (its labels are taken over, probation ends); false: it is not loaded.
  bool commit(const SlotContents& release);
  void fall_back();
  void stop();
  // The agent ends: nobody waits for a worker any more.
  void close();
  ShadowReport shadow_report() const;
  const ProbationReport& probation_report() const { return probation_report_; }

  const std::shared_ptr<ModelInstance>& active() const { return active_; }
  const std::shared_ptr<ModelInstance>& candidate() const { return candidate_; }
  const ServedCounts& counts() const { return counts_; }
  std::string state() const;  // serving | loading | down | none

 private:
  boost::asio::awaitable<void> wait_for_change(std::chrono::steady_clock::time_point until);
  void wake_waiting();
  Result<Answered> take(ModelInstance& instance, WorkerAnswer answer);
  void listen_to_active(const std::shared_ptr<ModelInstance>& instance);
  void listen_to_memory(const std::shared_ptr<ModelInstance>& instance);
  void candidate_died(const std::shared_ptr<ModelInstance>& instance);
  void note_probation(const Error* error, bool died);
  // What was asked and what the active release answered, kept until the candidate is idle.
  struct Copy {
    std::vector<runtime::Tensor> inputs;
    std::vector<std::string> outputs;
    std::shared_ptr<const SlotContents> active;
    std::vector<float> active_scores;
  };
  void mirror_later(const InferenceRequest& request, const Answered& answered);
  void mirror(const std::shared_ptr<ModelInstance>& candidate, Copy copy);
  void compare(const ModelInstance& candidate, const Copy& copy, const WorkerAnswer& answer);
  void progress(std::uint64_t count);

  struct Waiter;
  boost::asio::io_context& io_;
  ServedLimits limits_;
  Signal signal_;
  Memory memory_;
  Shadowed shadowed_;
  std::shared_ptr<ModelInstance> active_;     // answers
  std::shared_ptr<ModelInstance> previous_;   // warm, while probation_
  std::shared_ptr<ModelInstance> candidate_;  // proved, before it takes over
  bool probation_ = false;
  bool shadow_ = false;
  bool closing_ = false;
  std::list<Waiter*> waiting_;
  ServedCounts counts_;
  ShadowReport shadow_report_;
  std::vector<std::int64_t> shadow_us_;  // a ring of the latest
  ProbationReport probation_report_;
  std::chrono::steady_clock::time_point progress_told_{};
  std::shared_ptr<bool> here_ = std::make_shared<bool>(true);  // false once destroyed: callbacks ask it
};

}  // namespace ferry::agent
