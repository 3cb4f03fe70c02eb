#include "telemetry/running_totals.hpp"
#include "telemetry/otlp.hpp"

using namespace ferry::telemetry;

namespace {

ReleaseWindow window_of(const std::string& version, int inferences) {
  ReleaseWindow window;
  window.key = {"m", version, std::string(64, 'c'), "a", "", "none"};
  window.classes.resize(3);
  window.confidence = BoundedHistogram({0.5});
  window.mnlp = BoundedHistogram({1, 2});
  for (int i = 0; i < inferences; ++i) {
    window.duration.record(0.001 * (i + 1));
    ++window.classes[std::size_t(i % 3)];
    window.confidence.record(0.9);
    window.mnlp.record(1.5);
  }
  return window;
}

WindowReport report_of(std::int64_t start_ms, std::vector<ReleaseWindow> windows) {
  WindowReport report{"in-1", "bo-1", 1, "0.1.0", start_ms, start_ms + 1'000, 0, std::move(windows)};
  return report;
}

}  // namespace

TEST_CASE("each total is the merge of all windows so far, from the first one's start") {
  RunningTotals totals;
  ReleaseWindow first = window_of("1.0.0", 4), second = window_of("1.0.0", 7);
  first.errors = {{"timeout", 2}};
  second.errors = {{"timeout", 1}, {"crash", 1}};
  second.labels = {{{"audit", true}, 5}};
  CHECK(totals.add(report_of(10'000, {first})) == report_of(10'000, {first}));
  const WindowReport told = totals.add(report_of(20'000, {second}));
  ReleaseWindow sum = first;
  sum.merge(second);
  REQUIRE(told.releases.size() == 1);
  CHECK(told.releases[0] == sum);
  CHECK(told.releases[0].duration.count() == 11);
  CHECK(told.releases[0].errors.at("timeout") == 3);
  CHECK(told.start_unix_ms == 10'000);
  CHECK(told.end_unix_ms == 21'000);
}

TEST_CASE("a release that saw nothing is not repeated, and goes on from its total") {
  RunningTotals totals;
  totals.add(report_of(1'000, {window_of("1.0.0", 5)}));
  const WindowReport other = totals.add(report_of(2'000, {window_of("1.1.0", 2)}));
  REQUIRE(other.releases.size() == 1);
  CHECK(other.releases[0].key.version == "1.1.0");
  CHECK(other.releases[0].duration.count() == 2);
  CHECK(totals.add(report_of(3'000, {window_of("1.0.0", 1)})).releases[0].duration.count() == 6);
}

TEST_CASE("windows dropped by the spool are a total too") {
  RunningTotals totals;
  WindowReport report = report_of(1'000, {window_of("1.0.0", 1)});
  report.dropped = 3;
  CHECK(totals.add(report).dropped == 3);
  report.dropped = 0;
  CHECK(totals.add(report).dropped == 3);
  report.dropped = 2;
  CHECK(totals.add(report).dropped == 5);
}

TEST_CASE("beyond the bound on releases all totals start over, with a later start") {
  RunningTotals totals;
  for (std::size_t i = 0; i < RunningTotals::releases_max; ++i)
    totals.add(report_of(1'000, {window_of("1.0." + std::to_string(i), 2)}));
  const WindowReport again = totals.add(report_of(50'000, {window_of("2.0.0", 3)}));
  CHECK(again.start_unix_ms == 50'000);
  CHECK(again.releases[0].duration.count() == 3);
  CHECK(totals.add(report_of(60'000, {window_of("1.0.0", 1)})).releases[0].duration.count() == 1);
}

TEST_CASE("totals are told as cumulative, without the sequence number that deltas need, and ferryd refuses them") {
  RunningTotals totals;
  const WindowReport told = totals.add(report_of(1'000, {window_of("1.0.0", 4)}));
  const std::string bytes = encode_otlp(told, Temporality::cumulative);
  CHECK(bytes.find("ferry.report.seq") == std::string::npos);
  CHECK(bytes.find("ferry.boot.id") != std::string::npos);
  CHECK(encode_otlp(told).find("ferry.report.seq") != std::string::npos);
  const auto read = decode_otlp(bytes);
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ferry::Errc::bad_input);
}
