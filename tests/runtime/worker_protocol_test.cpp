// Frames in any cut, at the limits, and past them.
#include "runtime/worker_protocol.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cstring>
#include <random>

using namespace ferry;
using namespace ferry::runtime;

namespace {

std::string frame(const Json& head, const std::string& body) {
  return *frame_prefix_and_head(head, body.size()) + body;
}

struct Owned {
  std::string head;
  std::string body;
  bool operator==(const Owned&) const = default;
};

// Feeds `bytes` in pieces of at most `piece`; the frames, or the error.
Result<std::vector<Owned>> parse(FrameParser& parser, std::string_view bytes, std::size_t piece) {
  std::vector<Owned> frames;
  for (;;) {
    TRY(auto next, parser.next());
    if (next) {
      if (!next->body.empty()) CHECK(reinterpret_cast<std::uintptr_t>(next->body.data()) % 64 == 0);
      frames.push_back({std::string(next->head), std::string(next->body)});
      continue;
    }
    if (bytes.empty()) return frames;
    auto room = parser.prepare();
    if (room.empty()) FAIL("no room for more bytes");
    auto take = std::min({room.size(), bytes.size(), piece});
    std::memcpy(room.data(), bytes.data(), take);
    parser.commit(take);
    bytes.remove_prefix(take);
  }
}

}  // namespace

TEST_CASE("frames come out as they went in, however the stream is cut") {
  std::mt19937 random(7);
  std::string stream;
  std::vector<Owned> expected;
  for (std::size_t body_bytes : {0UL, 1UL, 3136UL, 40'000UL, 0UL, 3'000'000UL, 31'991UL, 5UL, 6'000'000UL, 17UL}) {
    std::string body(body_bytes, '\0');
    for (auto& c : body) c = static_cast<char>(random());
    Json head{{"op", "infer"}, {"id", expected.size()}, {"pad", std::string(random() % 50'000, 'x')}};
    expected.push_back({head.dump(), body});
    stream += frame(head, body);
  }
  for (std::size_t piece : {509UL, 4096UL, 65'536UL, 100'000'000UL}) {
    FrameParser parser;
    auto frames = parse(parser, stream, piece);
    REQUIRE(frames);
    CHECK(*frames == expected);
    CHECK(!parser.in_frame());
  }
}

TEST_CASE("a stream that ends early is noticed at every byte") {
  std::string whole = frame(Json{{"id", 1}}, "0123456789");
  for (std::size_t length = 1; length < whole.size(); ++length) {
    FrameParser parser;
    auto frames = parse(parser, std::string_view(whole).substr(0, length), 3);
    REQUIRE(frames);
    CHECK(frames->empty());
    CHECK(parser.in_frame());
  }
}

TEST_CASE("lengths beyond the limits are refused before anything is reserved for them") {
  auto prefix = [](std::uint32_t head, std::uint32_t body) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &head, 4);
    std::memcpy(bytes.data() + 4, &body, 4);
    return bytes;
  };
  for (auto [head, body] : {std::pair{65'537U, 0U}, {0xffffffffU, 0U}, {2U, 268'435'457U}, {2U, 0xffffffffU}}) {
    FrameParser parser;
    auto frames = parse(parser, prefix(head, body), 8);
    REQUIRE(!frames);
    CHECK(frames.error().code == Errc::bad_input);
  }
  FrameParser parser;  // a claim of 256 MiB with nothing behind it
  REQUIRE(parse(parser, prefix(2, 268'435'456U) + "{}", 100));
  CHECK(parser.prepare().size() <= 1024 * 1024);
}

TEST_CASE("a head that is too long or not an object is refused") {
  CHECK(!frame_prefix_and_head(Json{{"pad", std::string(70'000, 'x')}}, 0));
  CHECK(!frame_prefix_and_head(Json::object(), frame_body_bytes_max + 1));
  for (const char* head : {"", "[]", "3", "{", "{\"a\":1,\"a\":2}", "{} x", "[[[[[[[[[[[]]]]]]]]]]]"}) {
    auto parsed = parse_frame_head(head);
    INFO(head);
    REQUIRE(!parsed);
    CHECK_THAT(parsed.error().context, Catch::StartsWith("frame head"));
  }
}

TEST_CASE("tensors share a body in order, and a body that does not add up is refused by name") {
  std::vector<Tensor> tensors{
      {"a", DataType::fp32, {2}, "01234567"}, {"b", DataType::uint8, {0}, ""}, {"c", DataType::uint8, {3}, "xyz"}};
  Json head{{"inputs", tensors_to_json(views_of(tensors))}};
  std::string body = "01234567xyz";
  CHECK(copies_of(*tensors_from_frame(head, "inputs", body)) == tensors);

  auto message = [&](Json changed, std::string_view bytes) {
    auto parsed = tensors_from_frame(changed, "inputs", bytes);
    return parsed ? std::string("fits") : parsed.error().context;
  };
  CHECK(message(head, "01234567xy") == "inputs: tensor \"c\": the body ends 1 bytes too early");
  CHECK(message(head, "01234567xyz!") == "inputs: 1 bytes of the body belong to no tensor");
  auto changed = head;
  changed["inputs"][0]["bytes"] = 7;
  CHECK(message(changed, body) == "inputs: tensor \"a\": 7 bytes, expected 8 for its type and shape");
  changed = head;
  changed["inputs"][0]["shape"] = {-1};
  CHECK_THAT(message(changed, body), Catch::Contains("\"a\"") && Catch::Contains("negative"));
  changed = head;
  changed["inputs"][2]["datatype"] = "BYTES";
  CHECK_THAT(message(changed, body), Catch::Contains("\"c\"") && Catch::Contains("BYTES"));
  changed = head;
  changed["inputs"] = 3;
  CHECK_THAT(message(changed, body), Catch::Contains("inputs"));
  changed["inputs"] = Json::array();
  for (int at = 0; at < 65; ++at) changed["inputs"].push_back(head["inputs"][1]);
  CHECK_THAT(message(changed, ""), Catch::Contains("inputs"));
}

TEST_CASE("an error crosses the socket with code, reason and message") {
  Error error{Errc::no_space, "model: bad_alloc", "trial.memory"};
  auto back = failure_from_json(failure_to_json(7, error));
  CHECK(back.code == error.code);
  CHECK(back.reason == error.reason);
  CHECK(back.context == error.context);
  CHECK(failure_from_json(Json::parse(R"({"ok":false,"code":7,"reason":[],"message":null})")).code == Errc::internal);
  CHECK(failure_to_json(1, Error{Errc::internal, std::string(100'000, 'x')})["message"].get<std::string>().size() ==
        4096);
}
