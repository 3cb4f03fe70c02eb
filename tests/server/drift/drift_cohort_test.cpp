#include "server/drift/drift_cohort.hpp"

#include "tests/server/store/store_fixture.hpp"
#include "tests/telemetry/drift_fixture.hpp"

#include <fmt/format.h>
#include <set>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using ferry::test::Draws;
using ferry::test::drift_reference;
using ferry::test::drift_window;
using telemetry::DriftLevel;

namespace {

const telemetry::ReferenceProfile reference = drift_reference();
const telemetry::DriftPolicy policy;
constexpr std::int64_t t0 = 1'700'000'000'000;

Cohort cohort_of(std::size_t devices) {
  Cohort cohort;
  cohort.key = {"m", "1.0.0", "abc", "camera", "", "none"};
  cohort.id = cohort_id(cohort.key);
  for (std::size_t i = 0; i < devices; ++i) cohort.devices[fmt::format("dev-{:02}", i)].seen_ms = t0;
  return cohort;
}

void give(Cohort& cohort, const std::string& device, const telemetry::DriftCounts& counts, std::int64_t at_ms,
          std::vector<std::uint64_t> labels = {}) {
  CohortDevice& entry = cohort.devices[device];
  if (entry.since_ms == 0) entry.since_ms = at_ms;
  Contribution contribution;
  contribution.counts = counts;
  contribution.labels = std::move(labels);
  entry.waiting.add(contribution);
}

// Everybody brings n predictions; the window that this closes.
std::optional<CohortStep> round_of(Cohort& cohort, Draws& draws, std::size_t n, double off, std::int64_t at_ms,
                                   const std::vector<std::uint64_t>& labels = {}) {
  for (auto& [name, device] : cohort.devices) give(cohort, name, drift_window(draws, reference, n, off), at_ms, labels);
  auto step = close_window(cohort, reference, policy, at_ms);
  if (step) {
    start_window(cohort, step->pool);
    cohort.state = step->state;
  }
  return step;
}

}  // namespace

TEST_CASE("a cohort's id tells every part of its key apart") {
  const CohortKey key{"m", "1.0.0", "abc", "camera", "", "none"};
  CHECK(cohort_id(key) == cohort_id(CohortKey(key)));
  CHECK(cohort_id(key).size() == 19);
  std::set<std::string> ids{cohort_id(key)};
  for (auto part : {&CohortKey::model, &CohortKey::version, &CohortKey::manifest_sha256, &CohortKey::hardware_class,
                    &CohortKey::rollout, &CohortKey::arm}) {
    CohortKey other = key;
    (other.*part) += "x";
    CHECK(ids.insert(cohort_id(other)).second);
  }
  CHECK(cohort_id({"a", "bc", "", "", "", ""}) != cohort_id({"ab", "c", "", "", "", ""}));
}

TEST_CASE("a window closes at two hundred predictions that count, not before") {
  Cohort cohort = cohort_of(4);
  Draws draws(1);
  CHECK_FALSE(round_of(cohort, draws, 49, 0, t0));
  CHECK(cohort.open_since_ms() == t0);
  const auto step = round_of(cohort, draws, 1, 0, t0 + 60'000);
  REQUIRE(step);
  REQUIRE(step->window);
  CHECK(step->window->number == 1);
  CHECK(step->window->report.start_ms == t0);
  CHECK(step->window->report.end_ms == t0 + 60'000);
  CHECK(step->window->pool.counts.samples() == 200);
  CHECK(step->window->pool.devices == 4);
  CHECK(step->window->pool.limited == 0);
  CHECK(step->window->level == DriftLevel::ok);
  CHECK(cohort.open_since_ms() == 0);
  CHECK(cohort.devices.size() == 4);
}

TEST_CASE("a window of a day closes with a hundred predictions, and waits on with fewer") {
  Cohort cohort = cohort_of(2);
  Draws draws(2);
  CHECK_FALSE(round_of(cohort, draws, 45, 0, t0));
  CHECK_FALSE(close_window(cohort, reference, policy, t0 + policy.window_age_max_ms));
  CHECK_FALSE(round_of(cohort, draws, 10, 0, t0 + policy.window_age_max_ms - 1));
  const auto step = close_window(cohort, reference, policy, t0 + policy.window_age_max_ms);
  REQUIRE(step);
  CHECK(step->window->pool.counts.samples() == 110);
}

TEST_CASE("a busy fleet's window takes no more than the reference can testify to") {
  Cohort cohort = cohort_of(20);
  Draws draws(3);
  const auto step = round_of(cohort, draws, 500, 0, t0);
  REQUIRE(step);
  CHECK(step->window->pool.counts.samples() == 10'000 / reference_share_max);
  CHECK(step->window->pool.limited == 20);
  CHECK(step->window->level == DriftLevel::ok);
}

TEST_CASE("a member that says nothing holds up the window until it is no member") {
  Cohort cohort = cohort_of(3);
  Draws draws(4);
  give(cohort, "dev-00", drift_window(draws, reference, 300), t0);
  CHECK_FALSE(close_window(cohort, reference, policy, t0));  // it alone would be more than two thirds
  cohort.devices.erase("dev-01");
  cohort.devices.erase("dev-02");
  CHECK(close_window(cohort, reference, policy, t0));
}

TEST_CASE("a device that has moved on counts once more in the window that was open, and is gone with it") {
  Cohort cohort = cohort_of(4);
  Draws draws(5);
  give(cohort, "dev-00", drift_window(draws, reference, 50), t0);
  cohort.devices["dev-00"].member = false;
  for (int i = 1; i < 4; ++i) give(cohort, fmt::format("dev-{:02}", i), drift_window(draws, reference, 50), t0 + i);
  const auto step = close_window(cohort, reference, policy, t0 + 10);
  REQUIRE(step);
  CHECK(step->pool.devices == 4);
  start_window(cohort, step->pool);
  CHECK(cohort.devices.size() == 3);
  CHECK_FALSE(cohort.devices.contains("dev-00"));
}

TEST_CASE("predictions that are off reach notice and warn, and the day on which they did stays on record") {
  Cohort cohort = cohort_of(4);
  Draws draws(6);
  for (int i = 0; i < 10; ++i) REQUIRE(round_of(cohort, draws, 50, 0, t0 + i * 1000)->window->level == DriftLevel::ok);
  std::int64_t since = 0;
  for (int i = 10; i < 40; ++i) {
    const auto step = round_of(cohort, draws, 50, 0.4, t0 + i * 1000);
    if (step->window->level == DriftLevel::warn && since == 0) since = t0 + i * 1000;
  }
  REQUIRE(since != 0);
  CHECK(since <= t0 + 12 * 1000);
  CHECK(cohort.state.level() == DriftLevel::warn);
  CHECK(cohort.state.level_since_ms == since);
  for (int i = 40; i < 80; ++i) round_of(cohort, draws, 50, 0, t0 + i * 1000);
  CHECK(cohort.state.level() == DriftLevel::ok);
  CHECK(cohort.state.level_since_ms > t0 + 40 * 1000);
}

TEST_CASE("warn is critical when audited labels are wrong more often than the gate promised") {
  Cohort cohort = cohort_of(4);
  Draws draws(7);
  // The reference is right in 73.75 %.
  for (int i = 0; i < 20; ++i) round_of(cohort, draws, 50, 0, t0 + i, {8, 2});
  CHECK_FALSE(cohort.state.witness.accuracy);
  for (int i = 0; i < 20; ++i) round_of(cohort, draws, 50, 0.4, t0 + 100 + i, {8, 2});
  CHECK(cohort.state.level() == DriftLevel::warn);
  bool critical = false;
  for (int i = 0; i < 20 && !critical; ++i) {
    const auto step = round_of(cohort, draws, 50, 0.4, t0 + 200 + i, {3, 7});
    critical = step->window->level == DriftLevel::critical;
    CHECK(step->window->witness.accuracy == critical);
  }
  CHECK(critical);
  CHECK(reason_of(cohort.state.level()) == "drift.critical");
  for (int i = 0; i < 60; ++i) round_of(cohort, draws, 50, 0.4, t0 + 300 + i, {9, 1});
  CHECK(cohort.state.level() == DriftLevel::warn);  // the labels are well again
}

TEST_CASE("labels alone make no drift") {
  Cohort cohort = cohort_of(4);
  Draws draws(8);
  for (int i = 0; i < 20; ++i) round_of(cohort, draws, 50, 0, t0 + i, {0, 10});
  CHECK(cohort.state.witness.accuracy);
  CHECK(cohort.state.level() == DriftLevel::ok);
}

TEST_CASE("labels of too few devices wait on over windows until there are enough") {
  Cohort cohort = cohort_of(4);
  Draws draws(9);
  give(cohort, "dev-00", {}, 0, {5, 5});
  const auto step = round_of(cohort, draws, 50, 0, t0);
  REQUIRE(step);
  CHECK(step->pool.labels.empty());
  CHECK(cohort.devices["dev-00"].waiting.labels == std::vector<std::uint64_t>{5, 5});
  give(cohort, "dev-01", {}, 0, {6, 4});
  const auto next = round_of(cohort, draws, 50, 0, t0 + 1);
  CHECK(next->pool.labels == std::vector<std::uint64_t>{11, 9});
  CHECK(cohort.devices["dev-00"].waiting.empty());
}

TEST_CASE("a reason per level") {
  CHECK(reason_of(DriftLevel::ok).empty());
  CHECK(reason_of(DriftLevel::notice) == "drift.notice");
  CHECK(reason_of(DriftLevel::warn) == "drift.warn");
  CHECK(reason_of(DriftLevel::critical) == "drift.critical");
}

TEST_CASE("a cohort's state and what waits in it read back bit by bit") {
  Cohort cohort = cohort_of(4);
  Draws draws(10);
  for (int i = 0; i < 7; ++i) round_of(cohort, draws, 50, 0.1, t0 + i, {7, 3});
  cohort.state.witness = {true};
  cohort.state.known_before = true;
  CHECK(need(parse_cohort_state(print_cohort_state(cohort.state))) == cohort.state);
  CHECK(need(parse_cohort_state(print_cohort_state(CohortState{}))) == CohortState{});
  Contribution contribution;
  contribution.counts = drift_window(draws, reference, 30);
  contribution.labels = {1, 2};
  CHECK(need(parse_contribution(print_contribution(contribution))) == contribution);
  CHECK(print_contribution(Contribution{}).empty());
  CHECK(need(parse_contribution("")) == Contribution{});
}

TEST_CASE("a damaged state or contribution is refused by the name of its field") {
  const auto why = [](const std::string& text) { return parse_cohort_state(text).error().context; };
  Json good = need(parse_json(print_cohort_state({})));
  const auto with = [&](const char* key, Json value) {
    Json bad = good;
    bad[key] = std::move(value);
    return why(dump_json(bad));
  };
  CHECK_THAT(with("format", "ferry.drift-cohort/2"), Catch::Contains("ferry.drift-cohort/1"));
  CHECK_THAT(with("labels_sr", -1), Catch::Contains("labels_sr"));
  CHECK_THAT(with("labels_log", "x"), Catch::Contains("labels_log"));
  CHECK_THAT(with("witness", {{"accuracy", 1}}), Catch::Contains("accuracy"));
  CHECK_THAT(with("drift", "{}"), Catch::Contains("format"));
  CHECK_THAT(with("surprise", 1), Catch::Contains("surprise"));
  CHECK_THAT(
      parse_contribution(R"({"counts":{"classes":[],"confidence":[],"mnlp":[]},"labels":[-1,2]})").error().context,
      Catch::Contains("labels"));
  CHECK_THAT(parse_contribution(R"({"counts":{"classes":[],"confidence":[],"mnlp":[]},"labels":[1]})").error().context,
             Catch::Contains("labels"));
  CHECK_FALSE(parse_contribution("{"));
}

TEST_CASE("a state of another reference starts anew, and its windows go on being numbered") {
  Cohort cohort = cohort_of(4);
  Draws draws(11);
  for (int i = 0; i < 3; ++i) round_of(cohort, draws, 50, 0.3, t0 + i);
  cohort.state.drift.run[telemetry::DriftFeature::classes] = {1, 2, 3};
  const auto step = round_of(cohort, draws, 50, 0, t0 + 10);
  REQUIRE(step);
  CHECK(step->window->number == 4);
  CHECK(step->state.drift.alarms <= 1);
}

TEST_CASE("a window on record holds its numbers and its counts") {
  Cohort cohort = cohort_of(4);
  Draws draws(12);
  const auto step = round_of(cohort, draws, 50, 0.4, t0, {7, 3});
  const Json body = need(parse_json(print_window(*step->window)));
  CHECK(body["samples"] == 200);
  CHECK(body["devices"] == 4);
  CHECK(body["labels"]["right"] == 28);
  CHECK(body["labels"]["wrong"] == 12);
  CHECK(body["number"] == 1);
  CHECK(body["features"]["confidence"]["p"].get<double>() < 1e-6);
  CHECK(body["tv"].get<double>() > 0.2);
  const auto counts = need(telemetry::drift_counts_at(body, "counts"));
  CHECK(counts == step->window->pool.counts);
  // Anybody can compute the window again.
  const auto again = telemetry::test_drift_window(reference, counts, policy);
  CHECK(again.e == body["e"].get<double>());
}
