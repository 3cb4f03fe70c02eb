// A rollout's policy, its live gate and its selectors, as an operator's client could send them.
#include "common/json.hpp"
#include "server/rollout/rollout.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::server;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  (void)Selector::parse(bytes);
  auto json = parse_json(bytes);
  if (!json) return 0;
  auto policy = parse_rollout_policy(*json);
  if (!policy) return 0;
  fuzz::promise(!policy->phases.empty() && policy->phases.size() <= phases_max, "phases are bounded");
  auto stored = to_json(*policy);
  auto again = parse_rollout_policy(stored);
  fuzz::promise(again && *again == *policy, "a policy is read back as stored");
  return 0;
}
