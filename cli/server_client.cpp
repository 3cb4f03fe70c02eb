#include "cli/cli.hpp"

#include "common/file.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t token_bytes_max = 4096;
constexpr Duration request_limit = std::chrono::minutes{10};  // a 2 GiB blob over a slow link

std::string from_environment(const std::string& flag, const char* variable) {
  if (!flag.empty()) return flag;
  const char* value = std::getenv(variable);
  return value ? value : "";
}

// The server's own code where it names one of ours, so that exit codes say what happened and not how HTTP says it.
Error problem_error(const HttpResponse& response, const std::string& what) {
  Error error = error_from_status(response, what);
  const auto body = parse_json(response.body);
  if (!body || !body->is_object()) return error;
  const auto code = string_or(*body, "code", "");
  if (code) {
    for (int candidate = 0; candidate <= int(Errc::internal); ++candidate) {
      if (to_string(Errc(candidate)) == *code) error.code = Errc(candidate);
    }
  }
  if (const auto reason = string_or(*body, "reason", ""); reason) error.reason = *reason;
  return error;
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \r\n\t") + 1);
  return text;
}

}  // namespace

int exit_code_of(Errc code) {
  switch (code) {
    case Errc::bad_input:
      return exit_usage;
    case Errc::not_found:
      return exit_not_found;
    case Errc::denied:
      return exit_denied;
    case Errc::conflict:
      return exit_conflict;
    case Errc::gate_failed:
      return exit_gate_failed;
    case Errc::gate_hold:
      return exit_gate_hold;
    case Errc::timeout:
      return exit_timeout;
    case Errc::bad_signature:
    case Errc::expired:
    case Errc::rollback_refused:
      return exit_bad_signature;
    case Errc::unreachable:
    case Errc::unavailable:
      return exit_unreachable;
    default:
      return exit_failure;
  }
}

ServerClient::ServerClient(std::unique_ptr<HttpClient> http, std::string url, std::string token)
    : http_(std::move(http)), url_(std::move(url)), token_(std::move(token)) {
  while (url_.ends_with('/')) url_.pop_back();
}

Result<HttpResponse> ServerClient::send(const std::string& method, const std::string& path, std::string body,
                                        const std::string& content_type, const std::string& if_match) {
  HttpRequest request{.method = method, .url = url_ + "/api/v1" + path, .body = std::move(body)};
  request.headers["Authorization"] = "Bearer " + token_;
  if (!request.body.empty()) request.headers["Content-Type"] = content_type;
  if (!if_match.empty()) request.headers["If-Match"] = if_match;
  request.body_bytes_max = answer_bytes_max;
  request.time_limit = request_limit;
  auto answer = http_->send(request);
  if (!answer) return std::move(answer).error().within(method + " " + request.url);
  if (answer->status >= 300 && !(method == "HEAD" && answer->status == 404))
    return problem_error(*answer, method + " " + path);
  return answer;
}

namespace {
Result<Json> decoded(Result<HttpResponse> answer) {
  if (!answer) return std::move(answer).error();
  if (answer->body.empty()) return Json(Json::object());
  return parse_json(answer->body, {.bytes_max = answer_bytes_max});
}
}  // namespace

Result<Json> ServerClient::get(const std::string& path) { return decoded(send("GET", path, {})); }

Result<std::string> ServerClient::get_text(const std::string& path) {
  TRY(HttpResponse answer, send("GET", path, {}));
  return std::move(answer.body);
}

Result<Json> ServerClient::post(const std::string& path, const Json& body, const std::string& if_match) {
  return decoded(send("POST", path, dump_json(body), "application/json", if_match));
}

Result<Json> ServerClient::patch(const std::string& path, const Json& body) {
  return decoded(send("PATCH", path, dump_json(body)));
}

Result<Json> ServerClient::remove(const std::string& path) { return decoded(send("DELETE", path, {})); }

Result<bool> ServerClient::has(const std::string& path) {
  TRY(const HttpResponse answer, send("HEAD", path, {}));
  return answer.status == 200;
}

Result<> ServerClient::put(const std::string& path, std::string body) {
  TRY(const HttpResponse answer, send("PUT", path, std::move(body), "application/octet-stream"));
  return {};
}

void Session::say(const std::string& line) {
  if (!globals.quiet) err_ << line << '\n' << std::flush;
}

Result<ServerClient> Session::server() {
  const std::string url = from_environment(globals.server, "FERRY_SERVER");
  if (url.empty()) return Error{Errc::bad_input, "no server: give --server https://host:port or set FERRY_SERVER"};
  std::string token = from_environment({}, "FERRY_TOKEN");
  const std::string token_file = from_environment(globals.token_file, "FERRY_TOKEN_FILE");
  if (!token_file.empty()) {
    TRY(token, read_file(token_file, token_bytes_max));
  }
  token = trimmed(std::move(token));
  if (token.empty())
    return Error{Errc::bad_input, "no token: give --token-file FILE or set FERRY_TOKEN or FERRY_TOKEN_FILE"};
  TlsClientConfig tls;
  if (const std::string ca_file = from_environment(globals.ca_file, "FERRY_CA_FILE"); !ca_file.empty()) {
    TRY(tls.ca_pem, read_file(ca_file, 1024 * 1024));
  }
  return ServerClient(make_http_client(std::move(tls)), url, std::move(token));
}

}  // namespace ferry::cli
