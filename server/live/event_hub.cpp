// The ring and the coroutine behind each stream.
#include "server/live/event_hub.hpp"

#include "common/task.hpp"

#include <fmt/format.h>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ferry::server {
namespace {

// Hints are numbered from the wall clock in milliseconds, with room for this many in each.
constexpr std::uint64_t numbers_per_ms = 1000;

std::string event_name(const std::string& topic) { return topic.substr(0, topic.find(':')); }

Result<std::set<std::string>> parse_topics(const std::string& text) {
  std::set<std::string> topics;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string topic = text.substr(begin, end - begin);
    const std::string name = event_name(topic);
    const bool whole =
        name == "overview" || name == "devices" || name == "releases" || name == "rollouts" || name == "drift";
    const bool one = (name == "device" || name == "rollout") && topic.size() > name.size() + 1;
    if ((whole && topic != name) || (!whole && !one) || topic.size() > 128)
      return Error{Errc::bad_input,
                   "topics: found \"" + topic.substr(0, 80) +
                       "\", expected overview, devices, releases, rollouts, drift, device:<id>, rollout:<id>"};
    topics.insert(topic);
    if (topics.size() > topics_per_stream_max)
      return Error{Errc::bad_input, "topics: more than " + std::to_string(topics_per_stream_max)};
    begin = end + 1;
  }
  return topics;
}

// What a stream keeps between two pieces; its end gives the place back.
struct Stream {
  Stream(std::shared_ptr<EventHub> h, std::atomic<int>& count) : hub(std::move(h)), streams(count) { ++streams; }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { --streams; }
  std::shared_ptr<EventHub> hub;
  std::atomic<int>& streams;
  std::set<std::string> topics;
  std::uint64_t cursor = 0;
  bool greeted = false;
};

boost::asio::awaitable<std::optional<std::string>> next_piece(std::shared_ptr<Stream> stream) {
  if (!stream->greeted) {
    stream->greeted = true;
    co_return std::string("retry: 2000\n\n");
  }
  Duration waited{0};
  while (true) {
    std::string piece = stream->hub->next(stream->cursor, stream->topics);
    if (!piece.empty()) {
      co_await sleep_for(stream_step);  // the pace: what happens meanwhile is coalesced
      co_return piece;
    }
    if (waited >= stream_ping) co_return std::string(": ping\n\n");
    co_await sleep_for(stream_step);
    waited += stream_step;
  }
}

}  // namespace

EventHub::EventHub(Clock& clock)
    : next_number_(static_cast<std::uint64_t>(to_unix_ms(clock.now())) * numbers_per_ms + 1) {}

void EventHub::publish(std::string topic, std::string kind, std::string id) {
  std::lock_guard lock(mutex_);
  ring_.push_back({next_number_++, std::move(topic), std::move(kind), std::move(id)});
  if (ring_.size() > hints_kept_max) ring_.pop_front();
}

std::uint64_t EventHub::newest() const {
  std::lock_guard lock(mutex_);
  return next_number_ - 1;
}

std::string EventHub::next(std::uint64_t& cursor, const std::set<std::string>& topics) const {
  std::lock_guard lock(mutex_);
  const std::uint64_t newest = next_number_ - 1;
  if (cursor == newest) return {};
  const std::uint64_t oldest = ring_.empty() ? next_number_ : ring_.front().number;
  if (cursor > newest || cursor + 1 < oldest) {  // from another life of this server, or too long ago
    cursor = newest;
    return fmt::format("id: {}\nevent: reset\ndata: {{}}\n\n", newest);
  }
  std::map<std::string, const Hint*> latest;  // by topic and object
  for (const Hint& hint : ring_)
    if (hint.number > cursor && (topics.empty() || topics.contains(hint.topic)))
      latest[hint.topic + '\n' + hint.id] = &hint;
  cursor = newest;
  std::vector<const Hint*> ordered;
  for (const auto& [key, hint] : latest) ordered.push_back(hint);
  std::sort(ordered.begin(), ordered.end(), [](const Hint* a, const Hint* b) { return a->number < b->number; });
  std::string piece;
  for (const Hint* hint : ordered)
    piece += fmt::format("id: {}\nevent: {}\ndata: {}\n\n", hint->number, event_name(hint->topic),
                         dump_json(Json{{"topic", hint->topic}, {"kind", hint->kind}, {"id", hint->id}}));
  return piece;
}

http::Response EventHub::open(const std::shared_ptr<EventHub>& self, const http::Request& request) {
  const auto wanted = request.query.find("topics");
  auto topics = parse_topics(wanted == request.query.end() ? "" : wanted->second);
  if (!topics) return http::problem(topics.error());
  if (self->streams_ >= streams_max) {
    http::Response busy = http::problem(503, "unavailable", "too many event streams; poll instead");
    busy.headers["Retry-After"] = "30";
    return busy;
  }
  auto stream = std::make_shared<Stream>(self, self->streams_);
  stream->topics = std::move(*topics);
  stream->cursor = self->newest();
  std::string seen(request.header("last-event-id"));
  if (const auto since = request.query.find("since"); seen.empty() && since != request.query.end())
    seen = since->second;
  if (!seen.empty()) {
    std::uint64_t number = 0;
    const auto [end, failed] = std::from_chars(seen.data(), seen.data() + seen.size(), number);
    stream->cursor = failed == std::errc{} && end == seen.data() + seen.size() ? number : 0;  // nonsense: reset
  }
  http::Response response;
  response.headers["Content-Type"] = "text/event-stream";
  response.headers["Cache-Control"] = "no-store";
  response.headers["X-Accel-Buffering"] = "no";
  response.stream = [stream] { return next_piece(stream); };
  return response;
}

}  // namespace ferry::server
