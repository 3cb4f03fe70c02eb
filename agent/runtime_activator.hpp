// The serving half of the agent: the Activator over real workers, with the local API in front of them.
#pragma once
#include "agent/inference_api.hpp"
#include "agent/serving.hpp"
#include "common/http/server.hpp"

#include <atomic>
#include <future>
#include <mutex>
#include <optional>

namespace ferry::agent {

// Everything about models happens on the one io thread of the API's server; the Activator's methods are called by other
// threads, post there and wait. Threads: see activator.hpp; open() comes before everything else.
class RuntimeActivator final : public Serving {
 public:
  RuntimeActivator(ServingOptions options, WorkerLimits worker_limits, ServedLimits served_limits, Clock& clock,
                   Log& log);
  ~RuntimeActivator() override;

  Result<> open() override;
  void close() override;
  std::string url() const override;
  Path socket() const override;

  Result<> start(const SlotContents& active) override;
  void stop(const std::string& model) override;
  Result<> prove(const SlotContents& candidate, Duration limit, const std::atomic<bool>& cancel) override;
  Result<> begin_shadow(const std::string& model) override;
  ShadowReport shadow_report(const std::string& model) override;
  Result<> take_over(const std::string& model) override;
  ProbationReport probation_report(const std::string& model) override;
  Result<> commit(const SlotContents& release) override;
  void fall_back(const std::string& model) override;
  Result<Json> hardware_profile() override;
  std::string serving_state(const std::string& model) const override;
  void on_signal(std::function<void(const std::string& model, ActivatorSignal)> listener) override;

 private:
  class Trial;
  // Runs `work` on the io thread and waits; nullopt when the API is not open (any more).
  template <class Work>
  std::optional<std::invoke_result_t<Work>> on_io(Work work) const;
  // Waits for what the io thread will set; nullopt when the API was closed meanwhile.
  template <class T>
  std::optional<T> wait(std::future<T> future, const std::function<void()>& at_each_turn = {}) const;
  void on_io_now(const std::function<void()>& work);  // the same, when there is nothing to give back
  ServedModel& served(const std::string& model);      // io thread; made when it is new
  std::shared_ptr<ModelInstance> make_instance(const SlotContents& release);
  Result<> load(const std::shared_ptr<ModelInstance>& instance, const std::function<void()>& at_each_turn = {});
  Result<Json> ask_profile();

  ServingOptions options_;
  WorkerLaunch launch_;
  ServedLimits served_limits_;
  Clock& clock_;
  Log& log_;
  std::function<void(const std::string&, ActivatorSignal)> listener_;
  ServedModels models_;  // io thread only while open
  InferenceApi api_;
  std::unique_ptr<http::Server> server_;
  std::atomic<bool> open_{false};
  std::mutex profile_mutex_;  // guards profile_; held while a worker is asked
  std::optional<Json> profile_;
};

}  // namespace ferry::agent
