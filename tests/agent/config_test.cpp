// agent.toml and flags: precedence, and refusals that name the field.
#include "agent/config.hpp"

#include "tests/support/temp_dir.hpp"

using namespace ferry;
using namespace ferry::agent;
using ferry::test::TempDir;

namespace {
const Path program = "/opt/ferry/bin/ferry-agent";
}

TEST_CASE("flags win over the file, the file over defaults") {
  TempDir directory;
  Path file = directory / "agent.toml";
  REQUIRE(write_file_atomic(file,
                            "data = \"/from/file\"\n[worker]\nruntime_library = \"/lib/file.so\"\n[api]\nport = "
                            "8123\n[log]\nlevel = \"warn\"\n"));
  Flags flags;
  flags.config_file = file;
  auto config = load_config(flags, program);
  REQUIRE(config);
  CHECK(config->data.root == "/from/file");
  CHECK(config->data.pinned_root() == "/from/file/trust/pinned-root.json");
  CHECK(config->worker_program == "/opt/ferry/bin/ferry-worker");
  CHECK(config->runtime_library == "/lib/file.so");
  CHECK(config->api_port == 8123);
  CHECK(config->log_level == LogLevel::warn);
  flags.data = "/from/flag";
  flags.worker = "/w";
  flags.log_level = "debug";
  config = load_config(flags, program);
  REQUIRE(config);
  CHECK(config->data.root == "/from/flag");
  CHECK(config->worker_program == "/w");
  CHECK(config->log_level == LogLevel::debug);
}

TEST_CASE("a wrong file or flag is refused, naming where") {
  TempDir directory;
  Path file = directory / "agent.toml";
  struct Case {
    const char* text;
    const char* named;
  };
  const Case cases[] = {
      {"dat = \"x\"", "dat"},
      {"[api]\nport = 70000", "port"},
      {"[api]\naddress = \"0.0.0.0\"", "loopback"},
      {"[log]\nformat = \"xml\"", "xml"},
      {"[worker]\nprograms = \"x\"", "programs"},
      {"data = 5", "data"},
      {"data = ", "agent.toml"},
      {"[telemetry]\nurl = \"collector:4318\"", "telemetry.url"},
      {"[telemetry]\nurl = \"https://\"", "telemetry.url"},
      {"[telemetry]\nurl = \"https://me:secret@host/v1/metrics\"", "telemetry.headers"},
      {"[telemetry]\nurl = \"https://host/\"\ntemporality = \"both\"", "telemetry.temporality"},
      {"[telemetry]\ntemporality = \"cumulative\"", "without url"},
      {"[telemetry]\nwindow_inferences_max = 5", "window_inferences_max"},
      {"[telemetry]\nbytes_per_day_max = 100", "bytes_per_day_max"},
      {"[telemetry]\nspool_bytes_max = 10", "spool_bytes_max"},
      {"[telemetry]\nspool_days_max = 400", "spool_days_max"},
      {"[telemetry]\nurl = \"https://host/\"\n[telemetry.headers]\n\"X Y\" = \"1\"", "X Y"},
      {"[telemetry]\nurl = \"https://host/\"\n[telemetry.headers]\nA = \"1\\r\\nB: 2\"", "headers: A"},
      {"[telemetry]\nurl = \"https://host/\"\n[telemetry.headers]\nContent-Type = \"x\"",
       "Content-Type is the agent's"}};
  for (const auto& [text, named] : cases) {
    REQUIRE(write_file_atomic(file, text));
    Flags flags;
    flags.config_file = file;
    INFO(text);
    auto config = load_config(flags, program);
    REQUIRE_FALSE(config);
    CHECK_THAT(config.error().context, Catch::Contains(named));
  }
  Flags absent;
  absent.config_file = directory / "absent.toml";
  CHECK(load_config(absent, program).error().code == Errc::not_found);
  Flags format;
  format.log_format = "xml";
  CHECK_FALSE(load_config(format, program));
}

TEST_CASE("telemetry goes to the update server unless another receiver is named") {
  TempDir directory;
  Path file = directory / "agent.toml";
  Flags flags;
  flags.config_file = file;
  REQUIRE(write_file_atomic(file, "data = \"/d\"\n"));
  CHECK(load_config(flags, program)->collector.url.empty());

  REQUIRE(write_file_atomic(file, "[telemetry]\nurl = \"http://127.0.0.1:4318/v1/metrics\"\n"));
  auto config = load_config(flags, program);
  REQUIRE(config);
  CHECK(config->collector.url == "http://127.0.0.1:4318/v1/metrics");
  CHECK(config->collector.temporality == telemetry::Temporality::cumulative);
  CHECK(config->collector.headers.empty());

  REQUIRE(write_file_atomic(file,
                            "[telemetry]\nurl = \"https://otlp.example.org/v1/metrics\"\ntemporality = \"delta\"\n"
                            "ca_file = \"/etc/ferry/collector-ca.pem\"\n[telemetry.headers]\n"
                            "Authorization = \"Bearer abc\"\n"));
  config = load_config(flags, program);
  REQUIRE(config);
  CHECK(config->collector.temporality == telemetry::Temporality::delta);
  CHECK(config->collector.ca_file == "/etc/ferry/collector-ca.pem");
  CHECK(config->collector.headers.at("Authorization") == "Bearer abc");
}
