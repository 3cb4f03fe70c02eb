// The local inference API: Open Inference Protocol v2 over the served models (docs/formats/inference-api.md).
#pragma once
#include "agent/feedback_ring.hpp"
#include "agent/served_model.hpp"
#include "agent/serving.hpp"
#include "common/http/router.hpp"

#include <map>
#include <memory>
#include <string>

namespace ferry::agent {

// Used and changed on the io thread only. Models are added and never removed.
using ServedModels = std::map<std::string, std::unique_ptr<ServedModel>>;

// Its routes run on the io thread (the server has one). Outlives the server.
class InferenceApi {
 public:
  InferenceApi(const ServingOptions& options, ServedModels& models, Clock& clock);
  void add_routes(http::Router& router);

 private:
  using Handler = http::Response (InferenceApi::*)(const http::Request&, ServedModel&);
  http::Response with_model(const http::Request& request, Handler handler);
  http::Response metadata(const http::Request& request, ServedModel& model);
  http::Response ready(const http::Request& request, ServedModel& model);
  http::Response stats(const http::Request& request, ServedModel& model);
  http::Response feedback(const http::Request& request, ServedModel& model);
  http::Response server_ready() const;
  boost::asio::awaitable<http::Response> infer(const http::Request& request);
  http::Response answer(const InferenceRequest& request, const Answered& answered, std::chrono::nanoseconds started);
  void tell_failure(const SlotContents& release, const Error& error, std::chrono::nanoseconds started,
                    std::span<const runtime::TensorView> inputs);

  const ServingOptions& options_;
  ServedModels& models_;
  Clock& clock_;
  FeedbackRing ring_;
};

}  // namespace ferry::agent
