// The trial gate's verdicts: every boundary of shadow and probation.
#include "agent/trial_judge.hpp"

using namespace ferry;
using namespace ferry::agent;
using std::chrono::seconds;

TEST_CASE("shadow passes by requests or by time, whichever comes first") {
  ota::TrialPolicy policy;  // 50 requests, 60 s
  auto verdict = [&](std::uint64_t mirrored, Duration elapsed) {
    return judge_shadow(policy, {.mirrored = mirrored}, elapsed, std::nullopt).verdict;
  };
  CHECK(verdict(0, seconds{59}) == TrialVerdict::wait);
  CHECK(verdict(49, seconds{59}) == TrialVerdict::wait);
  CHECK(verdict(50, seconds{0}) == TrialVerdict::pass);
  CHECK(verdict(0, seconds{60}) == TrialVerdict::pass);
}

TEST_CASE("errors fail a trial as soon as no number of good answers could make up for them") {
  ota::TrialPolicy policy;
  policy.shadow_requests = policy.probation_requests = 100;
  policy.error_share_max_ppm = 20'000;  // 2 of 100
  for (auto [errors, asked, fails] :
       {std::tuple{1, 1, false}, {2, 2, false}, {3, 3, true}, {3, 50, true}, {4, 200, false}, {5, 200, true}}) {
    INFO(errors << " of " << asked);
    auto shadow = judge_shadow(
        policy, {.mirrored = static_cast<std::uint64_t>(asked), .errors = static_cast<std::uint64_t>(errors)},
        seconds{1}, std::nullopt);
    CHECK((shadow.verdict == TrialVerdict::fail) == fails);
    if (fails) CHECK(shadow.reason == "trial.errors");
    auto probation = judge_probation(
        policy, {.requests = static_cast<std::uint64_t>(asked), .errors = static_cast<std::uint64_t>(errors)},
        seconds{1});
    CHECK((probation.verdict == TrialVerdict::fail) == fails);
  }
  policy.error_share_max_ppm = 0;
  CHECK(judge_probation(policy, {.requests = 1'000'000, .errors = 1}, seconds{1}).verdict == TrialVerdict::fail);
}

TEST_CASE("a trial that waits for very many requests does not need as many errors") {
  ota::TrialPolicy policy;
  policy.probation_requests = 1'000'000;
  policy.error_share_max_ppm = 10'000;  // 10 of the first thousand
  CHECK(judge_probation(policy, {.requests = 10, .errors = 10}, seconds{1}).verdict == TrialVerdict::wait);
  CHECK(judge_probation(policy, {.requests = 11, .errors = 11}, seconds{1}).verdict == TrialVerdict::fail);
  CHECK(judge_probation(policy, {.requests = 2'000, .errors = 20}, seconds{1}).verdict == TrialVerdict::wait);
  CHECK(judge_probation(policy, {.requests = 2'000, .errors = 21}, seconds{1}).verdict == TrialVerdict::fail);
}

TEST_CASE("one crash fails a trial with the reason that was seen, even when all requests are done") {
  ota::TrialPolicy policy;
  auto shadow = judge_shadow(policy, {.mirrored = 1000, .crashes = 1, .reason = "trial.memory", .message = "killed"},
                             seconds{100}, std::nullopt);
  CHECK(shadow.verdict == TrialVerdict::fail);
  CHECK(shadow.reason == "trial.memory");
  CHECK_THAT(shadow.message, Catch::Contains("killed"));
  auto probation = judge_probation(policy, {.requests = 1000, .crashes = 1}, seconds{100});
  CHECK(probation.verdict == TrialVerdict::fail);
  CHECK(probation.reason == "trial.crash");
}

TEST_CASE("in shadow a median above the p99 budget is slowness; a few slow answers are not") {
  ota::TrialPolicy policy;
  policy.shadow_requests = 1000;
  CHECK(judge_shadow(policy, {.mirrored = 20, .latency_p50_us = 5001}, seconds{1}, 5000).reason == "trial.latency");
  CHECK(judge_shadow(policy, {.mirrored = 20, .latency_p50_us = 5000}, seconds{1}, 5000).verdict == TrialVerdict::wait);
  CHECK(judge_shadow(policy, {.mirrored = 19, .latency_p50_us = 9000}, seconds{1}, 5000).verdict == TrialVerdict::wait);
  CHECK(judge_shadow(policy, {.mirrored = 20, .latency_p50_us = 9000}, seconds{1}, std::nullopt).verdict ==
        TrialVerdict::wait);
}
