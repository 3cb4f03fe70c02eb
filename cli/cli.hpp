// What every command shares: global flags, the server's client, output, exit codes (docs/cli.md).
#pragma once
#include "common/clock.hpp"
#include "common/http_client.hpp"
#include "common/json.hpp"
#include "common/program.hpp"
#include "common/random.hpp"

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ferry::cli {

enum Exit : int {
  exit_ok = 0,
  exit_failure = 1,
  exit_usage = 2,
  exit_not_found = 3,
  exit_denied = 4,
  exit_conflict = 5,
  exit_gate_failed = 6,
  exit_gate_hold = 7,
  exit_rollout_failed = 8,
  exit_timeout = 9,
  exit_bad_signature = 10,
  exit_unreachable = 11,
};
using ferry::exit_code_of;

// Talks to `/api/v1` with the bearer token. Errors carry the problem's code where it is one of ours, else its own name
// for it as the reason.
class ServerClient {
 public:
  ServerClient(std::unique_ptr<HttpClient> http, std::string url, std::string token);
  Result<Json> get(const std::string& path);
  // All items of a list, page by page; at most `items_max` (0: all). `path` may hold a query already.
  Result<Json> list(const std::string& path, std::size_t items_max = 0);
  Result<std::string> get_text(const std::string& path);  // body as it is (TUF metadata)
  Result<Json> post(const std::string& path, const Json& body, const std::string& if_match = {});
  // A user's text as one segment of a path.
  static std::string segment(const std::string& text);
  Result<Json> patch(const std::string& path, const Json& body);
  Result<Json> remove(const std::string& path);
  Result<bool> has(const std::string& path);  // HEAD: 200 or 404
  Result<> put(const std::string& path, std::string body);

 private:
  Result<HttpResponse> send(const std::string& method, const std::string& path, std::string body,
                            const std::string& content_type = "application/json", const std::string& if_match = {});
  std::unique_ptr<HttpClient> http_;
  std::string url_, token_;
};

struct Globals {
  std::string server, token_file, ca_file;
  std::string output = "table";  // table | json
  bool quiet = false;
};

// The state of one run. Commands write data to out() and messages to err().
class Session {
 public:
  Session(std::ostream& out, std::ostream& err, Clock& clock, Random& random)
      : out_(out), err_(err), clock_(clock), random_(random) {}

  Globals globals;
  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }
  Clock& clock() { return clock_; }
  Random& random() { return random_; }
  bool json() const { return globals.output == "json"; }
  void say(const std::string& line);  // a message for a person, unless --quiet
  // From --server, --token-file, --ca-file or FERRY_SERVER, FERRY_TOKEN, FERRY_TOKEN_FILE, FERRY_CA_FILE.
  Result<ServerClient> server();

 private:
  std::ostream& out_;
  std::ostream& err_;
  Clock& clock_;
  Random& random_;
};

// A command registers itself with its flags; its action runs after parsing and returns the exit code.
using Action = std::function<Result<int>(Session&)>;
struct Registry {
  CLI::App& app;
  Session& session;
  Action chosen;  // set by the parsed sub-command
};
void add_key_commands(Registry& registry);
void add_bundle_commands(Registry& registry);
void add_gate_commands(Registry& registry);
void add_release_commands(Registry& registry);
void add_rollout_commands(Registry& registry);
void add_device_commands(Registry& registry);
void add_token_commands(Registry& registry);

// Parses and runs; an exception is a bug and ends with exit_failure. argv[0] is the program's name.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, Clock& clock, Random& random);

// "name@version" split and checked.
struct ReleaseName {
  std::string model, version;
};
Result<ReleaseName> parse_release_name(const std::string& text);

}  // namespace ferry::cli
