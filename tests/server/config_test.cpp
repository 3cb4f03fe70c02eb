#include "server/config.hpp"

#include "tests/support/temp_dir.hpp"

using namespace ferry;
using namespace ferry::server;
using ferry::test::TempDir;

namespace {

Result<Config> load(const std::string& text) {
  TempDir dir;
  REQUIRE(write_file_atomic(dir / "server.toml", text));
  return load_config(dir.path());
}
constexpr const char* least = "format = \"ferry.server/1\"\nnames = [\"localhost\"]\n";

}  // namespace

TEST_CASE("the file that init writes is a good one, with every default") {
  auto config = load(config_toml({"fleet.example.org", "10.0.0.5", "::1"}));
  REQUIRE(config);
  CHECK(config->names == std::vector<std::string>{"fleet.example.org", "10.0.0.5", "::1"});
  CHECK(config->device_listen.address == "127.0.0.1");
  CHECK(config->device_listen.port == 0);
  CHECK(config->poll_interval_s == 30);
  CHECK(config->telemetry_interval_s == 0);
  CHECK(config->threads == 1);
  CHECK(config->ui_dir.empty());
  CHECK(config->log_format == LogFormat::json);
  CHECK(config->database().filename() == "ferry.sqlite");
}

TEST_CASE("what the written file shows in comments is right when it is switched on") {
  std::string text = config_toml({"localhost"});
  std::string on;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    std::string line = text.substr(at, end - at);
    if (line.starts_with("# ") && line.find(" = ") != std::string::npos) line = line.substr(2);
    if (line.starts_with("device_url")) line = "device_url = \"https://fleet.example.org:8443\"";
    on += line + "\n";
    at = end + 1;
  }
  auto config = load(on);
  INFO(on);
  REQUIRE(config);
  CHECK(config->device_listen.port == 8443);
  CHECK(config->device_listen.address == "0.0.0.0");
  CHECK(config->operator_listen.port == 8444);
  CHECK(config->device_url == "https://fleet.example.org:8443");
  CHECK(config->ui_dir == "/usr/share/ferry/ui");
  CHECK(config->telemetry_interval_s == 60);
}

TEST_CASE("everything can be set") {
  auto config = load(std::string(least) + R"(
[listen]
device = "[::1]:8443"
operator = "0.0.0.0:8444"
device_url = "https://a:1"
operator_url = "https://b"
threads = 4
[devices]
poll_interval_s = 5
telemetry_interval_s = 7
download_bytes_per_second = 1000
[ui]
dir = "/ui"
[log]
format = "text"
level = "warn"
)");
  REQUIRE(config);
  CHECK(config->device_listen.address == "::1");
  CHECK(config->device_url == "https://a:1");
  CHECK(config->operator_url == "https://b");
  CHECK(config->threads == 4);
  CHECK(config->poll_interval_s == 5);
  CHECK(config->telemetry_interval_or_default_s() == 7);
  CHECK(config->download_bytes_per_second == 1000);
  CHECK(config->log_format == LogFormat::text);
  CHECK(config->log_level == LogLevel::warn);
}

TEST_CASE("every bad field is refused by its name") {
  struct Case {
    std::string text;
    const char* named;
  };
  const std::string head = least;
  const Case cases[] = {
      {"names = [\"a\"]", "format"},
      {"format = \"ferry.server/2\"\nnames = [\"a\"]", "ferry.server/1"},
      {"format = \"ferry.server/1\"", "names"},
      {"format = \"ferry.server/1\"\nnames = []", "names"},
      {"format = \"ferry.server/1\"\nnames = \"a\"", "names"},
      {"format = \"ferry.server/1\"\nnames = [5]", "names"},
      {"format = \"ferry.server/1\"\nnames = [\"a b\"]", "names: name: found \"a b\""},
      {"format = \"ferry.server/1\"\nnames = [\"a:b\"]", "names"},
      {"format = \"ferry.server/1\"\nnames = [\"\"]", "names"},
      {head + "nams = 1", "did you mean 'names'"},
      {head + "listen = 5", "listen"},
      {head + "[listen]\ndevice = \"localhost:1\"", "listen: device: address: found \"localhost:1\""},
      {head + "[listen]\ndevice = \"127.0.0.1\"", "listen: device"},
      {head + "[listen]\ndevice = \"127.0.0.1:65536\"", "listen: device"},
      {head + "[listen]\noperator = \"127.0.0.1:\"", "listen: operator"},
      {head + "[listen]\noperator = \"127.0.0.1:8a\"", "listen: operator"},
      {head + "[listen]\noperator = 5", "operator"},
      {head + "[listen]\ndevice_url = \"http://a\"", "listen: device_url"},
      {head + "[listen]\ndevice_url = \"https://\"", "listen: device_url"},
      {head + "[listen]\noperator_url = \"https://a/b\"", "listen: operator_url"},
      {head + "[listen]\nthreads = 0", "threads"},
      {head + "[listen]\nthreads = 65", "threads"},
      {head + "[listen]\nport = 5", "listen: unknown field 'port'"},
      {head + "devices = []", "devices"},
      {head + "[devices]\npoll_interval_s = 0", "poll_interval_s"},
      {head + "[devices]\npoll_interval_s = 86401", "poll_interval_s"},
      {head + "[devices]\npoll_interval_s = 1.5", "poll_interval_s"},
      {head + "[devices]\ntelemetry_interval_s = -1", "telemetry_interval_s"},
      {head + "[devices]\ndownload_bytes_per_second = -1", "download_bytes_per_second"},
      {head + "[devices]\npoll_intervall_s = 1", "did you mean 'poll_interval_s'"},
      {head + "ui = true", "ui: "},
      {head + "[ui]\ndir = 5", "dir"},
      {head + "[ui]\nfolder = \"x\"", "ui: unknown field 'folder'"},
      {head + "log = \"json\"", "log: "},
      {head + "[log]\nformat = \"xml\"", "xml"},
      {head + "[log]\nlevel = \"loud\"", "loud"},
      {"format = ", "server.toml"},
      {"\xff\xfe", "server.toml"},
  };
  for (const auto& [text, named] : cases) {
    INFO(text);
    auto config = load(text);
    REQUIRE_FALSE(config);
    CHECK_THAT(config.error().context, Catch::Contains("server.toml"));
    CHECK_THAT(config.error().context, Catch::Contains(named));
  }
}

TEST_CASE("without a file the error says what to run") {
  TempDir dir;
  auto config = load_config(dir.path());
  REQUIRE_FALSE(config);
  CHECK(config.error().code == Errc::not_found);
  CHECK_THAT(config.error().context, Catch::Contains("ferryd init --data " + dir.path().string()));
}

TEST_CASE("addresses are an IP address and a port") {
  CHECK(parse_endpoint("127.0.0.1:0")->port == 0);
  CHECK(parse_endpoint("[::]:65535")->port == 65535);
  CHECK(parse_endpoint("[::]:65535")->address == "::");
  for (const char* bad : {"", ":", ":80", "127.0.0.1", "127.0.0.1:-1", "127.0.0.1: 80", "[]:1", "[127.0.0.1:1", "a:1",
                          "999.1.1.1:1", "127.0.0.1:80:90"}) {
    INFO(bad);
    CHECK_FALSE(parse_endpoint(bad));
  }
}

TEST_CASE("names on the command line are separated by commas") {
  CHECK(*parse_names("localhost,127.0.0.1") == std::vector<std::string>{"localhost", "127.0.0.1"});
  CHECK(*parse_names("::1") == std::vector<std::string>{"::1"});
  for (const std::string& bad : {std::string(), std::string("a,"), std::string(",a"), std::string("a b"),
                                 std::string("a\"b"), std::string("a:b"), std::string(254, 'a')})
    CHECK_FALSE(parse_names(bad));
  std::string many = "a";
  for (int i = 0; i < 32; ++i) many += ",a";
  CHECK_THAT(parse_names(many).error().context, Catch::Contains("more than 32"));
  CHECK(is_ip_address("10.0.0.1"));
  CHECK_FALSE(is_ip_address("localhost"));
}

TEST_CASE("telemetry comes every second poll by default, between 5 and 60 seconds") {
  Config config;
  const auto interval = [&](std::int64_t poll_s) {
    config.poll_interval_s = poll_s;
    return config.telemetry_interval_or_default_s();
  };
  CHECK(interval(1) == 5);
  CHECK(interval(10) == 20);
  CHECK(interval(30) == 60);
  CHECK(interval(86'400) == 60);
}
