// Log lines as they leave through a real descriptor.
#include "common/log.hpp"

#include "common/file.hpp"
#include "common/json.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <thread>

using namespace ferry;

namespace {
// Runs `use` with a log into a file and returns what the file then holds.
template <class Use>
std::string logged(LogFormat format, LogLevel least, Use use) {
  const test::TempDir dir;
  const FileDescriptor fd(::open((dir / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  test::SimClock clock(from_rfc3339("2026-11-23T08:12:52Z").value() + std::chrono::milliseconds{7});
  Log log(clock, fd.get(), format, least, "server");
  use(log);
  return read_file(dir / "log", 10'000'000).value();
}
}  // namespace

TEST_CASE("a JSON line holds time, level, message, component and fields in this order") {
  const std::string line = logged(LogFormat::json, LogLevel::debug, [](Log& log) {
    log.warn("slow disk", {{"path", "/var"}, {"ms", 1'500}, {"ratio", 0.5}, {"retry", true}});
  });
  CHECK(line == R"({"ts":"2026-11-23T08:12:52.007Z","level":"warn","msg":"slow disk","component":"server",)"
                R"("path":"/var","ms":1500,"ratio":0.5,"retry":true})"
                "\n");
}

TEST_CASE("a text line quotes what could be mistaken for two fields") {
  const std::string line = logged(LogFormat::text, LogLevel::debug, [](Log& log) {
    log.info("hello", {{"a", "plain"}, {"b", "x level=error"}, {"c", ""}, {"d", "say \"hi\""}, {"n", -3}});
  });
  CHECK(line ==
        "2026-11-23T08:12:52.007Z info server: hello a=plain b=\"x level=error\" c=\"\" d=\"say \\\"hi\\\"\" n=-3\n");
}

TEST_CASE("lines below the least level are not written") {
  const std::string lines = logged(LogFormat::text, LogLevel::warn, [](Log& log) {
    log.debug("one");
    log.info("two");
    log.warn("three");
    log.error("four");
  });
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
  CHECK_THAT(lines, Catch::Contains("three") && Catch::Contains("four"));
}

TEST_CASE("nothing a peer sends can start a new line, move the cursor or break the JSON") {
  const std::string hostile =
      "a\nb\r\x1b[2J\x7f\xC2\x9b"
      "31m\xff\"}\\";
  for (const LogFormat format : {LogFormat::json, LogFormat::text}) {
    const std::string line = logged(format, LogLevel::debug, [&](Log& log) {
      log.info(hostile, {{"field", hostile}, {"a\nb", 1}});
    });
    REQUIRE(line.back() == '\n');
    const std::string body = line.substr(0, line.size() - 1);
    CHECK(std::none_of(body.begin(), body.end(), [](char c) { return c >= 0 && c < 0x20; }));
    if (format == LogFormat::text) {
      CHECK(body.find('\x7f') == std::string::npos);
      CHECK(body.find("\xC2\x9b") == std::string::npos);
      CHECK_THAT(body, Catch::Contains("a\\nb\\r\\u001b[2J\\u007f\\u009b31m"));
    } else {
      const Json entry = parse_json(body).value();
      CHECK(entry["field"].get<std::string>().substr(0, 5) == hostile.substr(0, 5));
    }
  }
}

TEST_CASE("long texts are cut between characters and the line stays whole") {
  std::string text;
  while (text.size() < 100'000) text += "\xE2\x82\xAC";
  const std::string line = logged(LogFormat::json, LogLevel::debug, [&](Log& log) {
    log.info("m", {{"long", text}, {"after", 1}});
  });
  const Json entry = parse_json(std::string_view(line).substr(0, line.size() - 1)).value();
  CHECK(entry["long"].get<std::string>() == text.substr(0, 4095));
  CHECK(entry["after"] == 1);
}

TEST_CASE("lines of several threads do not mix") {
  const std::string lines = logged(LogFormat::json, LogLevel::debug, [](Log& log) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 200; ++i) log.info("line", {{"thread", t}, {"text", std::string(200, 'x')}});
      });
    }
    for (auto& thread : threads) thread.join();
  });
  int count = 0;
  for (std::size_t start = 0; start < lines.size(); ++count) {
    const std::size_t end = lines.find('\n', start);
    REQUIRE(parse_json(std::string_view(lines).substr(start, end - start)));
    start = end + 1;
  }
  CHECK(count == 800);
}

TEST_CASE("a log that cannot be written does not stop the program") {
  test::SimClock clock;
  Log log(clock, -1, LogFormat::json, LogLevel::debug);
  CHECK_NOTHROW(log.error("nobody reads this"));
}

TEST_CASE("level and format are read from their names only") {
  CHECK(parse_log_level("warn").value() == LogLevel::warn);
  CHECK(parse_log_format("text").value() == LogFormat::text);
  CHECK_THAT(parse_log_level("WARN").error().context, Catch::Contains("debug, info, warn or error"));
  CHECK_THAT(parse_log_format("xml").error().context, Catch::Contains("json or text"));
}
