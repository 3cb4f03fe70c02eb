// POST /device/v1/events until the spool is empty.
#include "agent/reporter.hpp"

namespace ferry::agent {
namespace {
constexpr int batches_per_upload_max = 64;  // then other traffic gets its turn
}

Reporter::Reporter(const Identity& identity, EventSpool& spool, Log& log)
    : url_(identity.server + "/device/v1/events"), install_(identity.install), spool_(spool), log_(log) {}

Result<> Reporter::upload(HttpClient& http) {
  for (int sent = 0; sent < batches_per_upload_max; ++sent) {
    TRY(auto batch, spool_.batch(install_));
    if (batch.body.empty()) return {};
    HttpRequest request;
    request.method = "POST";
    request.url = url_;
    request.headers["Content-Type"] = "application/json";
    request.body = std::move(batch.body);
    TRY(auto response, http.send(request));
    if (response.status == 400 || response.status == 413 || response.status == 422) {
      // Sending it again would be refused again, for ever, and everything behind it would wait.
      log_.error("the server refuses our events; dropped",
                 {{"up_to_seq", batch.last_seq}, {"error", error_from_status(response, "events").context}});
      TRY_VOID(spool_.acknowledge(batch.last_seq));
      continue;
    }
    if (response.status != 200) return error_from_status(response, "events");
    TRY(Json answer, parse_json(response.body));
    auto applied = integer_at(answer, "applied_seq", 0);
    if (!applied) return std::move(applied).error().within("events");
    if (*applied < batch.last_seq)
      return Error{Errc::unavailable, "events: the server applied up to " + std::to_string(*applied) + " of " +
                                          std::to_string(batch.last_seq)};
    TRY_VOID(spool_.acknowledge(*applied));
  }
  return {};
}

}  // namespace ferry::agent
