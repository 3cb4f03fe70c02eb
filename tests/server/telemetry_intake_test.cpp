// Uploads that wait together: committed together, each counted once, and no one's trouble is another's.
#include "server/telemetry_intake.hpp"

#include "tests/server/api/api_fixture.hpp"

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

namespace {

constexpr int inferences = 20;

telemetry::WindowReport window(const Server& server, const std::string& install, std::uint64_t seq) {
  telemetry::WindowReport report;
  report.install = install;
  report.boot = "bo-1";
  report.seq = seq;
  report.end_unix_ms = to_unix_ms(server.clock.now());
  report.start_unix_ms = report.end_unix_ms - 60'000;
  telemetry::ReleaseWindow release;
  release.key = {Publisher::model, "1.0.0", std::string(64, 'a'), "a", "", "none"};
  for (int i = 0; i < inferences; ++i) release.duration.record(0.002);
  report.releases.push_back(release);
  return report;
}

struct Sent {
  std::string device;
  telemetry::WindowReport report;
};

// All of them at once, as many connections would; the verdicts in the order of `uploads`.
std::vector<Result<UploadVerdict>> take_all(Server& server, const std::vector<Sent>& uploads) {
  boost::asio::io_context io;
  std::vector<std::future<Result<UploadVerdict>>> verdicts;
  for (const Sent& upload : uploads)
    verdicts.push_back(boost::asio::co_spawn(io, server.services().intake.take(upload.device, upload.report),
                                             boost::asio::use_future));
  io.run();
  std::vector<Result<UploadVerdict>> all;
  for (auto& verdict : verdicts) all.push_back(verdict.get());
  return all;
}

std::uint64_t counted(Server& server, const std::string& device) {
  std::uint64_t count = 0;
  for (const DeviceTotal& total : need(server.services().telemetry.totals(device)))
    count += total.window.duration.count();
  return count;
}

std::uint64_t counted(Server& server) {
  std::uint64_t count = 0;
  const std::int64_t end_ms = to_unix_ms(server.clock.now()) + minute_ms;
  for (const MinuteRow& row : need(server.services().telemetry.minutes(Publisher::model, 0, end_ms)))
    count += row.window.duration.count();
  return count;
}

}  // namespace

TEST_CASE("uploads of many devices at once are each counted once, by device and by minute") {
  Server server;
  constexpr std::size_t devices = 30, each = 20;  // more than one transaction holds
  std::vector<Sent> uploads;
  for (std::size_t seq = 1; seq <= each; ++seq)
    for (std::size_t at = 0; at < devices; ++at) {
      const std::string device = "dev-" + std::to_string(at);
      uploads.push_back({device, window(server, "in-" + device, seq)});
    }
  for (const auto& verdict : take_all(server, uploads)) CHECK(need(verdict) == UploadVerdict::applied);
  for (std::size_t at = 0; at < devices; ++at) CHECK(counted(server, "dev-" + std::to_string(at)) == each * inferences);
  CHECK(counted(server) == devices * each * inferences);
  for (const auto& verdict : take_all(server, uploads)) CHECK(need(verdict) == UploadVerdict::repeat);
  CHECK(counted(server) == devices * each * inferences);
}

TEST_CASE("the same upload twice at once counts once") {
  Server server;
  const Sent upload{"dev-1", window(server, "in-1", 1)};
  const auto verdicts = take_all(server, {upload, upload, upload});
  std::multiset<UploadVerdict> seen;
  for (const auto& verdict : verdicts) seen.insert(need(verdict));
  CHECK(seen == std::multiset<UploadVerdict>{UploadVerdict::applied, UploadVerdict::repeat, UploadVerdict::repeat});
  CHECK(counted(server) == inferences);
}

TEST_CASE("an upload that no device can have sent is refused alone; what waited with it is stored") {
  Server server;
  Sent lying{"dev-liar", window(server, "in-liar", 1)};
  lying.report.releases[0].errors["timeout"] = window_count_max + 1;
  std::vector<Sent> uploads;
  for (std::uint64_t seq = 1; seq <= 5; ++seq) uploads.push_back({"dev-1", window(server, "in-1", seq)});
  uploads.insert(uploads.begin() + 2, lying);
  const auto verdicts = take_all(server, uploads);
  for (std::size_t at = 0; at < verdicts.size(); ++at) {
    if (at != 2) {
      CHECK(need(verdicts[at]) == UploadVerdict::applied);
      continue;
    }
    REQUIRE_FALSE(verdicts[at]);
    CHECK(verdicts[at].error().code == Errc::bad_input);
  }
  CHECK(counted(server, "dev-1") == 5 * inferences);
  CHECK(counted(server, "dev-liar") == 0);
}

TEST_CASE("what was acknowledged is there after a restart, and is still known as taken") {
  Server server;
  const std::vector<Sent> uploads{{"dev-1", window(server, "in-1", 1)}, {"dev-2", window(server, "in-2", 1)}};
  for (const auto& verdict : take_all(server, uploads)) CHECK(need(verdict) == UploadVerdict::applied);
  server.restart();
  CHECK(counted(server, "dev-1") == inferences);
  for (const auto& verdict : take_all(server, uploads)) CHECK(need(verdict) == UploadVerdict::repeat);
  CHECK(counted(server) == 2 * inferences);
}
