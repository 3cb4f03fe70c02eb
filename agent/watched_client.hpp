// An HTTP client that can be interrupted and that remembers what Retry-After asked for.
#pragma once
#include "common/http_client.hpp"

namespace ferry::agent {

class WatchedClient final : public HttpClient {
 public:
  // `cancel` outlives it; true cuts the request under way.
  WatchedClient(std::unique_ptr<HttpClient> inner, const std::atomic<bool>& cancel)
      : inner_(std::move(inner)), cancel_(cancel) {}
  Result<HttpResponse> send(const HttpRequest& request) override {
    HttpRequest copy = request;
    copy.cancel = &cancel_;
    auto response = inner_->send(copy);
    if (response && response->status >= 400)
      retry_after_ = std::max(retry_after_, response->retry_after().value_or(Duration{0}));
    return response;
  }
  // The longest since the last call.
  Duration take_retry_after() { return std::exchange(retry_after_, Duration{0}); }

 private:
  std::unique_ptr<HttpClient> inner_;
  const std::atomic<bool>& cancel_;
  Duration retry_after_{0};
};

}  // namespace ferry::agent
