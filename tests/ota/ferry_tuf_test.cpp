// ferry-tuf as a process against a real HTTP server on loopback: the protocol of TRUST.md §1.
#include "common/http/server.hpp"
#include "tests/support/sim_repository.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mutex>

using namespace ferry;
using ferry::test::SimRepository;
using ferry::test::TempDir;

namespace {

const std::string metadata_prefix = "/odd_name%5B%3F%5D/metadata/", targets_prefix = "/odd_name%5B%3F%5D/targets/";

// Serves a SimRepository, raw request targets and all. `endless` answers that path with a body without end.
class Site {
 public:
  explicit Site(SimRepository& repository)
      : repository_(repository), log_(clock_, null_, LogFormat::text, LogLevel::error) {
    http::Router router;
    http::Route route;
    route.method = "GET";
    route.pattern = "/{path...}";
    route.quick = [this](const http::Request& request) { return answer(request); };
    router.add(std::move(route));
    std::vector<http::Listen> listeners(1);
    server_ = std::make_unique<http::Server>(std::move(router), listeners, http::ServerLimits{}, log_);
    REQUIRE(server_->start());
  }
  ~Site() {
    server_->stop();
    ::close(null_);
  }
  std::string url(const std::string& prefix) const {
    return "http://127.0.0.1:" + std::to_string(server_->port()) + prefix;
  }
  std::vector<std::string> take_requests() {
    std::lock_guard lock(mutex_);
    return std::exchange(requests_, {});
  }
  void set_endless(std::string path) {
    std::lock_guard lock(mutex_);
    endless_ = std::move(path);
  }

 private:
  http::Response answer(const http::Request& request) {
    std::lock_guard lock(mutex_);
    requests_.push_back(request.raw_target);
    http::Response response;
    if (request.raw_target == endless_) {
      response.stream = []() -> boost::asio::awaitable<std::optional<std::string>> {
        co_return std::string(65'536, 'x');
      };
      return response;
    }
    bool metadata = request.raw_target.starts_with(metadata_prefix);
    auto& fetcher = metadata ? static_cast<ota::Fetcher&>(repository_) : repository_.target_fetcher;
    auto path = request.raw_target.substr(
        std::min(request.raw_target.size(), (metadata ? metadata_prefix : targets_prefix).size()));
    auto bytes = fetcher.fetch(path, 100'000'000);
    if (!bytes) return http::text_response("no", "text/plain", bytes.error().code == Errc::not_found ? 404 : 500);
    response.body = *bytes;
    return response;
  }

  SimRepository& repository_;
  SystemClock clock_;
  int null_ = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log_;
  std::mutex mutex_;  // guards requests_, endless_ and the repository while a run is under way
  std::vector<std::string> requests_;
  std::string endless_;
  std::unique_ptr<http::Server> server_;
};

struct Client {
  explicit Client(SimRepository& repository) : site(repository) {}
  // The exit status; -signal when it was killed. `fake_time` as test suites from outside set it.
  int run(std::vector<std::string> arguments) {
    auto program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ferry-tuf").string();
    arguments.insert(arguments.begin(), program);
    if (!fake_time.empty()) {
      arguments.insert(arguments.begin(), {"faketime", fake_time});
      program = "faketime";
    }
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, (state / "stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t pid = 0;
    int spawned = ::posix_spawnp(&pid, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    REQUIRE(spawned == 0);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int init(const std::string& root) {
    REQUIRE(write_file_atomic(state / "root.json", root));
    return run({"--metadata-dir", metadata.path().string(), "init", (state / "root.json").string()});
  }
  int refresh() {
    return run({"--metadata-url", site.url(metadata_prefix), "--metadata-dir", metadata.path().string(), "refresh"});
  }
  int download(const std::vector<std::string>& names) {
    std::vector<std::string> arguments = {"--metadata-url", site.url(metadata_prefix), "--metadata-dir",
                                          metadata.path().string()};
    for (const auto& name : names) arguments.insert(arguments.end(), {"--target-name", name});
    arguments.insert(arguments.end(), {"--target-dir", targets.path().string(), "--target-base-url",
                                       site.url(targets_prefix), "download"});
    return run(arguments);
  }
  std::string error() { return *read_file(state / "stderr", 100'000); }

  Site site;
  TempDir metadata, targets, state;
  std::string fake_time;
};

// The program reads the real clock, so the repository must live in the real present.
struct PresentRepository : SimRepository {
  PresentRepository() {
    now = std::chrono::time_point_cast<Duration>(SystemClock().now());
    for (auto* body : {&root, &timestamp, &snapshot}) expires_in(*body, std::chrono::hours{48});
    for (auto& [name, body] : roles) expires_in(body, std::chrono::hours{48}), bump(name);
    publish_root();
    publish();
  }
};

}  // namespace

TEST_CASE("ferry-tuf: init, refresh and download with exit 0, and the URL's escapes untouched") {
  PresentRepository repository;
  repository.add_target("team", "team/a file", "the bytes");
  repository.add_target("targets", "b", "more bytes");
  for (const char* role : {"team", "targets"}) repository.bump(role);
  repository.publish();
  Client client(repository);
  REQUIRE(client.init(repository.served["1.root.json"]) == 0);
  CHECK(client.site.take_requests().empty());
  INFO(client.error());
  REQUIRE(client.refresh() == 0);
  auto requests = client.site.take_requests();
  REQUIRE(requests.size() == 5);
  CHECK(requests[0] == metadata_prefix + "2.root.json");
  CHECK(*read_file(client.metadata / "root.json", 1'000'000) == repository.served["2.root.json"]);
  REQUIRE(client.download({"team/a file", "b"}) == 0);
  CHECK(*read_file(client.targets / "team%2Fa%20file", 100) == "the bytes");
  CHECK(*read_file(client.targets / "b", 100) == "more bytes");
  client.site.take_requests();
  REQUIRE(client.download({"b"}) == 0);  // cached: only metadata is asked for
  CHECK(client.site.take_requests().size() == 2);
}

TEST_CASE("ferry-tuf: every failure is exit 1") {
  PresentRepository repository;
  repository.add_target("targets", "b", "bytes");
  repository.bump("targets");
  repository.publish();
  Client client(repository);
  CHECK(client.run({}) == 1);
  CHECK(client.run({"refresh"}) == 1);
  CHECK(client.run({"--no-such-option", "refresh"}) == 1);
  CHECK(client.run({"--metadata-dir", client.metadata.path().string()}) == 1);
  CHECK(client.run({"--metadata-dir", client.metadata.path().string(), "refresh"}) == 1);
  CHECK(client.run({"--metadata-dir", client.metadata.path().string(), "init", "/nowhere"}) == 1);
  CHECK(client.refresh() == 1);  // no root yet
  CHECK(client.init("{}") == 1);
  REQUIRE(write_file_atomic(client.metadata / "root.json", "{}"));
  CHECK(client.refresh() == 1);
  CHECK(client.site.take_requests().empty());  // an invalid trusted root: before any request
  REQUIRE(client.init(repository.served["1.root.json"]) == 0);
  CHECK(client.download({"absent"}) == 1);
  CHECK(client.download({"absent", "b"}) == 1);  // stops at the first failure
  CHECK(std::filesystem::is_empty(client.targets.path()));
  REQUIRE(client.download({"b", "absent"}) == 1);
  CHECK(std::filesystem::exists(client.targets / "b"));
}

TEST_CASE("ferry-tuf: an HTTP error other than 404 does not end the root chain") {
  PresentRepository repository;
  Client client(repository);
  REQUIRE(client.init(repository.served["2.root.json"]) == 0);
  repository.troubles.insert_or_assign("3.root.json", Error{Errc::unreachable, "500"});
  CHECK(client.refresh() == 1);
  CHECK(client.site.take_requests().size() == 1);
  repository.troubles.clear();
  CHECK(client.refresh() == 0);
}

TEST_CASE("ferry-tuf: a body without end is cut at its limit") {
  PresentRepository repository;
  repository.add_target("targets", "b", "bytes");
  repository.bump("targets");
  repository.publish();
  Client client(repository);
  REQUIRE(client.init(repository.served["2.root.json"]) == 0);
  const std::vector<std::string> paths = {metadata_prefix + "3.root.json", metadata_prefix + "timestamp.json",
                                          metadata_prefix + "3.snapshot.json", metadata_prefix + "3.targets.json",
                                          targets_prefix + sha256("bytes").hex() + ".b"};
  for (const auto& path : paths) {
    INFO(path);
    client.site.set_endless(path);
    CHECK(client.download({"b"}) == 1);
    auto requests = client.site.take_requests();
    CHECK(requests.back() == path);
  }
  client.site.set_endless("");
  CHECK(client.download({"b"}) == 0);
}

TEST_CASE("ferry-tuf: time is what the system's clock says, also a preloaded one") {
  PresentRepository repository;
  auto at = [&](std::chrono::hours after) {  // "2026-12-13 08:00:00.123456+00:00"
    auto text = to_rfc3339(std::chrono::floor<std::chrono::seconds>(repository.now) + after);
    text[10] = ' ';
    return text.substr(0, 19) + ".123456+00:00";
  };
  const std::chrono::hours day{24};
  repository.expires_in(repository.root, 7 * day);
  for (auto* body : {&repository.timestamp, &repository.snapshot}) repository.expires_in(*body, 60 * day);
  for (auto& [name, body] : repository.roles) repository.expires_in(body, 60 * day), repository.bump(name);
  repository.publish_root();
  repository.publish();
  Client client(repository);
  REQUIRE(client.init(repository.served["2.root.json"]) == 0);
  REQUIRE(client.refresh() == 0);
  client.fake_time = at(8 * day);
  INFO(client.fake_time);
  CHECK(client.refresh() == 1);
  CHECK_THAT(client.error(), Catch::Contains("root: expired"));
  client.fake_time = at(6 * day);
  CHECK(client.refresh() == 0);
  // The device slept: its root has expired, the next one has not.
  repository.expires_in(repository.root, 21 * day);
  repository.publish_root();
  client.fake_time = at(18 * day);
  CHECK(client.refresh() == 0);
  CHECK(*read_file(client.metadata / "root.json", 1'000'000) == repository.served["4.root.json"]);
}

TEST_CASE("ferry-tuf: several targets are one run, in order, and the last of two equal names is cached") {
  PresentRepository repository;
  repository.add_target("targets", "a", "bytes of a");
  repository.add_target("team", "team/b", "bytes of b");
  for (auto& [name, body] : repository.roles) repository.bump(name);
  repository.publish();
  Client client(repository);
  REQUIRE(client.init(repository.served["2.root.json"]) == 0);
  REQUIRE(client.download({"team/b", "a", "team/b"}) == 0);
  auto requests = client.site.take_requests();
  CHECK(std::count_if(requests.begin(), requests.end(),
                      [](const auto& path) { return path.starts_with(metadata_prefix); }) == 5);
  REQUIRE(requests.size() == 7);
  CHECK(requests[5] == targets_prefix + "team/" + sha256("bytes of b").hex() + ".b");
  CHECK(requests[6] == targets_prefix + sha256("bytes of a").hex() + ".a");
}

TEST_CASE("ferry-tuf: the store holds metadata and nothing else that looks like it, the target folder only targets") {
  PresentRepository repository;
  repository.add_target("targets", "a", "bytes");
  repository.bump("targets");
  repository.publish();
  Client client(repository);
  REQUIRE(client.init(repository.served["2.root.json"]) == 0);
  REQUIRE(client.download({"a"}) == 0);
  CHECK(client.download({"missing"}) == 1);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(client.metadata.path()))
    if (entry.path().extension() == ".json") names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"root.json", "snapshot.json", "targets.json", "timestamp.json"});
  names.clear();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(client.targets.path()))
    names.push_back(entry.path().filename());
  CHECK(names == std::vector<std::string>{"a"});
}
