// Server-sent events: hints that something changed, in one bounded ring that every stream reads at its own pace.
#pragma once
#include "common/clock.hpp"
#include "common/http/message.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace ferry::server {

inline constexpr std::size_t hints_kept_max = 4096;
inline constexpr std::size_t topics_per_stream_max = 32;
inline constexpr int streams_max = 1000;
inline constexpr Duration stream_step = std::chrono::milliseconds{250};  // at most four hints a second and object
inline constexpr Duration stream_ping = std::chrono::seconds{15};

// Thread-safe. A slow stream costs no memory: it reads the ring late, and a hint it missed becomes a `reset`.
class EventHub {
 public:
  // Ids go on rising over restarts because they start at the clock.
  explicit EventHub(Clock& clock);

  // `topic` "devices", "rollout:ro-…"; `id` the object's. Never blocks on streams.
  void publish(std::string topic, std::string kind, std::string id);

  // What a stream that has seen `cursor` gets next, coalesced per object; advances the cursor. Empty: nothing new.
  // `topics` empty: all.
  std::string next(std::uint64_t& cursor, const std::set<std::string>& topics) const;
  std::uint64_t newest() const;

  // The response of GET /events. 503 when there are too many streams, 400 for bad topics. The stream keeps `self`.
  static http::Response open(const std::shared_ptr<EventHub>& self, const http::Request& request);
  int streams() const { return streams_; }

 private:
  struct Hint {
    std::uint64_t number;
    std::string topic, kind, id;
  };
  mutable std::mutex mutex_;  // guards ring_ and next_number_
  std::deque<Hint> ring_;
  std::uint64_t next_number_;
  std::atomic<int> streams_{0};
};

}  // namespace ferry::server
