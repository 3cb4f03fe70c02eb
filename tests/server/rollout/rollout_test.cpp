#include "server/rollout/rollout.hpp"

#include "tests/server/rollout/rollout_fixture.hpp"

#include <nlohmann/json.hpp>
#include <set>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;

TEST_CASE("every state has a name that reads back") {
  for (int i = 0; i < 8; ++i) {
    const auto status = static_cast<RolloutStatus>(i);
    CHECK(*parse_rollout_status(to_string(status)) == status);
  }
  for (std::size_t i = 0; i < progress_count; ++i) {
    const auto progress = static_cast<Progress>(i);
    CHECK(*parse_progress(to_string(progress)) == progress);
    CHECK_FALSE((on_the_way(progress) && counts_as_failed(progress)));
  }
  CHECK_THAT(parse_rollout_status("finished").error().context, Catch::Contains("scheduled | running | paused | done"));
  CHECK(parse_progress("gone").error().code == Errc::bad_input);
}

TEST_CASE("plan and head survive being stored") {
  RolloutPlan plan = make_plan("ro-7", "1.3.0", phases({{10, 60}, {100, 0}}, 2), "label.site=oslo,label.kind=camera");
  plan.from_version = "1.1.0";
  const auto plan_back = rollout_plan_from_json(*parse_json(dump_json(to_json(plan))));
  REQUIRE(plan_back);
  CHECK(to_json(*plan_back) == to_json(plan));
  CHECK(plan_back->policy == plan.policy);
  CHECK(plan_back->selector.text() == plan.selector.text());
  RolloutHead head{RolloutStatus::failed, "rollout.failures", 5, 1, 10, 20, ~std::uint64_t{0}, true, 30};
  CHECK(*rollout_head_from_json(*parse_json(dump_json(to_json(head)))) == head);
  CHECK(*rollout_head_from_json(to_json(RolloutHead{})) == RolloutHead{});
  head.approvals = {{"ada", 7}, {"bob", 8}};
  head.moved_ms = 9;
  head.world_since_ms = 11;
  CHECK(*rollout_head_from_json(*parse_json(dump_json(to_json(head)))) == head);
}

TEST_CASE("a stored head or plan that is damaged is refused, not half read") {
  const Json head = to_json(RolloutHead{});
  const std::set<std::string> newer{"gate_passed", "gate_reason",    "recalled", "approvals",
                                    "moved_ms",    "world_since_ms", "pairs"};  // older servers wrote none
  for (const auto& [key, ignored] : head.items()) {
    if (newer.contains(key)) continue;
    Json damaged = head;
    damaged.erase(key);
    INFO(key);
    CHECK_FALSE(rollout_head_from_json(damaged));
  }
  const Json plan = to_json(make_plan("ro-1", "1.0.0"));
  for (const auto& [key, ignored] : plan.items()) {
    if (newer.contains(key)) continue;
    Json damaged = plan;
    damaged.erase(key);
    INFO(key);
    CHECK_FALSE(rollout_plan_from_json(damaged));
  }
}
