// The operator API as its document describes it, scripted: what the CLI asks is kept, what it gets is the test's.
#pragma once
#include "tests/cli/command.hpp"
#include "tests/support/scripted_server.hpp"

#include <deque>

namespace ferry::test {

class ApiServer {
 public:
  ApiServer() : server_([this](const ScriptedRequest& request) { return answer(request); }) {
    if (!write_file_atomic(token_file(), "acc-token-1\n")) throw std::runtime_error("no token file");
  }

  // Answers to "METHOD /path below /api/v1", the query left out; several are given in turn, the last again and again.
  void on(const std::string& request, int status, const Json& body) { on(request, status, body.dump()); }
  void on(const std::string& request, int status, const std::string& body = {}) {
    std::lock_guard lock(mutex_);
    answers_[request].push_back({.status = status, .headers = {}, .body = body, .cut_after = {}, .claimed_length = {}});
  }
  void on(const std::string& request, const ScriptedAnswer& answer) {
    std::lock_guard lock(mutex_);
    answers_[request].push_back(answer);
  }
  // problem+json as the server makes it.
  void refuse(const std::string& request, int status, const std::string& code, const std::string& detail,
              const std::string& reason = {}) {
    Json problem{{"type", "/docs/problems#" + code}, {"title", "No"}, {"status", status}, {"detail", detail}};
    problem["code"] = code;
    if (!reason.empty()) problem["reason"] = reason;
    on(request, status, problem);
  }

  std::string url() const { return server_.url(); }
  std::string token_file() const { return (folder_ / "token").string(); }
  Ran ferry(std::vector<std::string> arguments) {
    SimClock clock;
    clock.advance_by_itself();
    return ferry(std::move(arguments), clock);
  }
  Ran ferry(std::vector<std::string> arguments, Clock& clock) {
    const Environment none;
    arguments.insert(arguments.end(), {"--server", url(), "--token-file", token_file()});
    return test::ferry(arguments, clock);
  }

  // What was asked, "METHOD /path?query" in order, and the bodies of one kind of request.
  std::vector<std::string> asked() const {
    std::vector<std::string> lines;
    for (const ScriptedRequest& request : server_.requests()) lines.push_back(line_of(request));
    return lines;
  }
  std::vector<ScriptedRequest> requests(const std::string& line) const {
    std::vector<ScriptedRequest> found;
    for (const ScriptedRequest& request : server_.requests()) {
      if (line_of(request) == line) found.push_back(request);
    }
    return found;
  }
  Json body_of(const std::string& line) const {
    const auto found = requests(line);
    if (found.size() != 1) throw std::runtime_error(line + " was asked " + std::to_string(found.size()) + " times");
    return Json::parse(found[0].body);
  }

 private:
  static std::string line_of(const ScriptedRequest& request) {
    constexpr std::string_view prefix = "/api/v1";
    std::string path = request.path();
    if (path.starts_with(prefix)) path = path.substr(prefix.size());
    return request.head.substr(0, request.head.find(' ')) + " " + path;
  }
  ScriptedAnswer answer(const ScriptedRequest& request) {
    std::string line = line_of(request);
    line = line.substr(0, line.find('?'));
    std::lock_guard lock(mutex_);
    const auto found = answers_.find(line);
    if (found == answers_.end()) return {404, "", R"({"code": "not_found", "detail": "no such thing"})", {}, {}};
    ScriptedAnswer next = found->second.front();
    if (found->second.size() > 1) found->second.pop_front();
    return next;
  }

  TempDir folder_;
  std::mutex mutex_;  // guards answers_
  std::map<std::string, std::deque<ScriptedAnswer>> answers_;
  ScriptedServer server_;  // last: its thread ends first
};

inline bool has_header(const ScriptedRequest& request, const std::string& line) {
  return contains(request.head + "\r\n", "\r\n" + line + "\r\n");
}

inline Json items(std::initializer_list<Json> list, const std::string& next_cursor = {}) {
  Json answer = Json::object();
  answer["items"] = Json::array();
  for (const Json& item : list) answer["items"].push_back(item);
  answer["next_cursor"] = next_cursor;
  return answer;
}

}  // namespace ferry::test
