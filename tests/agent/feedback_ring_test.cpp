#include "agent/feedback_ring.hpp"

#include <catch2/catch.hpp>

using namespace ferry;
using namespace ferry::agent;

namespace {
std::shared_ptr<const SlotContents> release(const std::string& version) {
  SlotContents contents;
  contents.version = version;
  return std::make_shared<const SlotContents>(std::move(contents));
}
}  // namespace

TEST_CASE("a prediction is found by its id, with its release and class") {
  FeedbackRing ring("boot-1");
  auto first = ring.add(release("1.0.0"), 7);
  auto second = ring.add(release("1.1.0"), -1);
  CHECK(first == "boot-1-1");
  CHECK(second == "boot-1-2");
  REQUIRE(ring.find(first));
  CHECK(ring.find(first)->predicted == 7);
  CHECK(ring.find(first)->release->version == "1.0.0");
  CHECK(ring.find(second)->predicted == -1);
  CHECK_FALSE(ring.find(first)->labelled);
}

TEST_CASE("the oldest prediction is forgotten when the ring wraps, and only it") {
  FeedbackRing ring("b");
  for (std::size_t at = 0; at < feedback_ring_size; ++at)
    (void)ring.add(release("1.0.0"), static_cast<std::int64_t>(at));
  CHECK(ring.find("b-1"));
  (void)ring.add(release("1.0.0"), 0);
  CHECK_FALSE(ring.find("b-1"));
  REQUIRE(ring.find("b-2"));
  CHECK(ring.find("b-2")->predicted == 1);
  CHECK(ring.find("b-" + std::to_string(feedback_ring_size + 1)));
}

TEST_CASE("a mark as labelled does not outlive its prediction") {
  FeedbackRing ring("b");
  ring.find(ring.add(release("1.0.0"), 1))->labelled = true;
  for (std::size_t at = 0; at < feedback_ring_size; ++at) (void)ring.add(release("1.0.0"), 0);
  CHECK_FALSE(ring.find("b-" + std::to_string(feedback_ring_size + 1))->labelled);
}

TEST_CASE("ids of another life, future ones and malformed ones are nothing") {
  FeedbackRing ring("boot-1");
  (void)ring.add(release("1.0.0"), 1);
  for (const char* id : {"", "boot-1", "boot-1-", "boot-2-1", "boot-1-0", "boot-1-2", "boot-1-01", "boot-1--1",
                         "boot-1-1 ", "boot-1-1x", "boot-1+1", "boot-1-18446744073709551616", "boot-1-4097", "boot-11"})
    CHECK(ring.find(id) == nullptr);
}
