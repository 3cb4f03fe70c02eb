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
  const Case cases[] = {{"dat = \"x\"", "dat"},
                        {"[api]\nport = 70000", "port"},
                        {"[api]\naddress = \"0.0.0.0\"", "loopback"},
                        {"[log]\nformat = \"xml\"", "xml"},
                        {"[worker]\nprograms = \"x\"", "programs"},
                        {"data = 5", "data"},
                        {"data = ", "agent.toml"}};
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
