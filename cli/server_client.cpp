#include "cli/cli.hpp"

#include "common/file.hpp"
#include "ota/metadata.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t token_bytes_max = 4096;
constexpr std::size_t ca_bytes_max = 1024 * 1024;
constexpr Duration request_limit = std::chrono::minutes{10};  // a 2 GiB blob over a slow link
constexpr std::size_t page_items = 1000;                      // the most the API gives at once
constexpr std::size_t pages_max = 1000;

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
  if (code && !code->empty()) {
    error.reason = *code;
    for (int candidate = 0; candidate <= int(Errc::internal); ++candidate) {
      if (to_string(Errc(candidate)) != *code) continue;
      error.code = Errc(candidate);
      error.reason.clear();
    }
    if (*code == "release_not_gated") error.code = Errc::gate_failed;
  }
  if (const auto reason = string_or(*body, "reason", ""); reason && !reason->empty()) error.reason = *reason;
  return error;
}

std::string trimmed(std::string text) {
  text.erase(text.find_last_not_of(" \r\n\t") + 1);
  return text;
}

// A file named by a setting: that it is missing is a wrong setting, and not the "not found" of what was asked for.
Result<std::string> read_setting(const std::string& file, std::size_t bytes_max, const char* setting) {
  auto text = read_file(file, bytes_max);
  if (text) return text;
  return Error{Errc::bad_input, std::string(setting) + ": " + text.error().context};
}

// The token goes with every request, so it goes to nobody on the way who could read it.
Result<> check_url(const std::string& url) {
  if (url.starts_with("https://") && url.size() > 8) return {};
  for (const char* here : {"http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    const std::string_view rest = std::string_view(url).substr(std::min(url.size(), std::string_view(here).size()));
    if (url.starts_with(here) && (rest.empty() || rest.front() == ':' || rest.front() == '/')) return {};
  }
  return Error{Errc::bad_input, "server '" + url + "': expected https://host:port (http:// is for this machine only)"};
}

Result<> check_token(const std::string& token, const std::string& file) {
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (plain) return {};
  return Error{Errc::bad_input, (file.empty() ? std::string("FERRY_TOKEN") : "token file " + file) +
                                    ": expected one line with the token and nothing else"};
}

}  // namespace

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
  if (!answer) {
    Error error = std::move(answer).error();
    if (error.code == Errc::timeout) error.code = Errc::unreachable;  // exit 9 is for rollouts that still run
    if (error.code == Errc::bad_signature) error.context += "; is --ca-file the CA certificate of this server?";
    return error;
  }
  if (answer->status >= 300 && !(method == "HEAD" && answer->status == 404))
    return problem_error(*answer, method + " " + path);
  return answer;
}

namespace {
Result<Json> decoded(Result<HttpResponse> answer) {
  if (!answer) return std::move(answer).error();
  if (answer->body.empty()) return Json(Json::object());
  auto value = parse_json(answer->body, {.bytes_max = answer_bytes_max});
  // What the server says is not the user's bad input.
  if (!value) return Error{Errc::internal, "the server's answer is no JSON: " + value.error().context};
  return value;
}
}  // namespace

Result<Json> ServerClient::get(const std::string& path) { return decoded(send("GET", path, {})); }

Result<Json> ServerClient::list(const std::string& path, std::size_t items_max) {
  Json all = Json::array();
  std::string cursor;
  for (std::size_t page = 0; page < pages_max; ++page) {
    const std::size_t wanted = items_max == 0 ? page_items : std::min(page_items, items_max - all.size());
    std::string asked = path + (path.find('?') == std::string::npos ? "?" : "&") + "limit=" + std::to_string(wanted);
    if (!cursor.empty()) asked += "&cursor=" + segment(cursor);
    TRY(const Json answer, get(asked));
    const auto items = array_at(answer, "items");
    auto next = string_or(answer, "next_cursor", "");
    if (!items || !next)
      return Error{Errc::internal, "GET " + path + ": the server's answer is no list with items and next_cursor"};
    for (const Json& item : **items) all.push_back(item);
    cursor = std::move(*next);
    if (cursor.empty() || (items_max > 0 && all.size() >= items_max)) return all;
  }
  return Error{Errc::internal, "GET " + path + ": the list has no end after " + std::to_string(pages_max) + " pages"};
}

std::string ServerClient::segment(const std::string& text) { return ota::percent_encode(text); }

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
  TRY_VOID(check_url(url));
  std::string token = from_environment({}, "FERRY_TOKEN");
  const std::string token_file = from_environment(globals.token_file, "FERRY_TOKEN_FILE");
  if (!token_file.empty()) {
    TRY(token, read_setting(token_file, token_bytes_max, "--token-file"));
  }
  token = trimmed(std::move(token));
  if (token.empty())
    return Error{Errc::bad_input, "no token: give --token-file FILE or set FERRY_TOKEN or FERRY_TOKEN_FILE"};
  TRY_VOID(check_token(token, token_file));
  TlsClientConfig tls;
  if (const std::string ca_file = from_environment(globals.ca_file, "FERRY_CA_FILE"); !ca_file.empty()) {
    TRY(tls.ca_pem, read_setting(ca_file, ca_bytes_max, "--ca-file"));
  }
  return ServerClient(make_http_client(std::move(tls)), url, std::move(token));
}

}  // namespace ferry::cli
