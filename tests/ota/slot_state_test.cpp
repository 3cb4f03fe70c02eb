// The slot state's text: what a reader must refuse, because nobody but a broken disk could have written it.
#include "ota/slot_state.hpp"

using namespace ferry;
using namespace ferry::ota;

namespace {

Json example() {
  SlotState state;
  state.model = "fashion-mnist";
  SlotEntry entry;
  entry.version = "1.0.0";
  entry.counter = 1;
  entry.manifest_sha256 = sha256("one");
  entry.variant = "fp32";
  state.a = entry;
  state.active = SlotName::a;
  state.floor = 1;
  state.rejected.push_back({sha256("three"), "1.3.0", "trial.memory", 5});
  Trial trial;
  trial.release.version = "1.1.0";
  trial.release.counter = 2;
  trial.release.manifest_sha256 = sha256("two");
  trial.release.target = "fashion-mnist/1.1.0/manifest.json";
  trial.release.length = 10;
  trial.slot = SlotName::b;
  trial.variant = "int8";
  state.update = trial;
  return to_json(state, 7);
}

}  // namespace

TEST_CASE("a slot state reads back as it was written") {
  auto read = slot_state_from_json(example());
  REQUIRE(read);
  CHECK(read->generation == 7);
  CHECK(to_json(read->state, 7) == example());
}

TEST_CASE("a slot state that no machine wrote is refused, naming the field") {
  struct Case {
    const char* pointer;
    Json value;
    const char* named;
  };
  const Case cases[] = {
      {"/format", "ferry.slot-state/2", "format"},
      {"/generation", 0, "generation"},
      {"/slots/a/manifest_sha256", "00", "manifest_sha256"},
      {"/slots/a/counter", -1, "counter"},
      {"/slots/a", nullptr, "active"},
      {"/active", "c", "slot"},
      {"/active", "b", "active"},
      {"/update/state", "flying", "update.state"},
      {"/update/stage", "party", "update.stage"},
      {"/update/slot", "a", "update.slot"},
      {"/update/boots_left", 99, "boots_left"},
      {"/update/release/length", 0, "length"},
      {"/rejected/0/manifest_sha256", sha256("one").hex(), "slots.a"},
      {"/rejected/0/manifest_sha256", sha256("two").hex(), "update.release"},
      {"/floor", "high", "floor"},
  };
  for (const auto& [pointer, value, named] : cases) {
    Json document = example();
    document[Json::json_pointer(pointer)] = value;
    INFO(pointer << " = " << value.dump());
    auto read = slot_state_from_json(document);
    REQUIRE_FALSE(read);
    CHECK_THAT(read.error().context, Catch::Contains(named));
  }
  CHECK(slot_state_from_json(Json::array()).has_error());
}

TEST_CASE("a policy out of range is refused before it can make a trial endless") {
  Json policy = to_json(TrialPolicy{});
  CHECK(*trial_policy_from_json(policy) == TrialPolicy{});
  CHECK(*trial_policy_from_json(Json::object()) == TrialPolicy{});
  for (const char* field : {"trial_deadline_s", "shadow_s_max", "probation_s", "download_attempts_max"}) {
    for (std::int64_t value : {std::int64_t{-1}, std::int64_t{1} << 40}) {
      Json wrong = policy;
      wrong[field] = value;
      auto read = trial_policy_from_json(wrong);
      REQUIRE_FALSE(read);
      CHECK_THAT(read.error().context, Catch::Contains(field));
    }
  }
}
