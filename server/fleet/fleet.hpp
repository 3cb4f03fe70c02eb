// The devices in memory: who is who by certificate, when each was last seen, what each last said about itself.
#pragma once
#include "common/clock.hpp"
#include "common/crypto.hpp"
#include "common/json.hpp"
#include "server/store/devices.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <shared_mutex>
#include <unordered_map>

namespace ferry::server {

inline constexpr std::int64_t attention_alarm_ms = 86'400'000;

// A composed check-in answer, good as long as `generation` is the assignments' present one and `version` the device's.
struct CachedAssignment {
  std::uint64_t generation = 0;
  std::uint64_t version = 0;
  std::string etag;
  std::shared_ptr<const std::string> body;
  std::vector<std::string> offers;  // rollouts to which this offer is news
  bool held_back = false;           // a rollout makes the device wait: composed again at each check-in
};

struct DeviceFacts {
  Labels labels;
  std::string profile;  // JSON text; "" until it was sent
  std::string hardware_class;
  std::string agent_version;
  Json models = Json::array();  // of the last slots event
  std::int64_t alarm_ms = 0;
};

// Thread-safe.
class Device {
 public:
  Device(std::string id_text, std::int64_t enrolled) : id(std::move(id_text)), enrolled_ms(enrolled) {}

  const std::string id;
  const std::int64_t enrolled_ms;
  std::atomic<std::int64_t> last_seen_ms{0};
  std::atomic<bool> seen_dirty{false};
  std::atomic<std::int64_t> utc_offset_s{0};  // local time minus UTC, as of its last check-in; UTC before the first
  std::atomic<bool> revoked{false};
  std::atomic<std::uint64_t> version{1};  // grows when what this device is assigned may have changed
  std::atomic<std::shared_ptr<const CachedAssignment>> cached;

  std::shared_ptr<const DeviceFacts> facts() const { return facts_.load(); }
  // Runs `change` on a copy and puts it in place; concurrent changes are serialised.
  void change(const std::function<void(DeviceFacts&)>& change);
  // The manifest that serves for `model`, the default digest when unknown.
  Digest running(const std::string& model) const;

 private:
  std::mutex mutex_;  // serialises change()
  std::atomic<std::shared_ptr<const DeviceFacts>> facts_{std::make_shared<const DeviceFacts>()};
};
using DevicePtr = std::shared_ptr<Device>;

// `online` for three poll intervals and a minute after it was last seen.
inline constexpr std::int64_t online_intervals = 3;
inline constexpr std::int64_t online_grace_ms = 60'000;
enum class DeviceState { fresh, ok, updating, attention, offline, revoked };
std::string_view to_string(DeviceState state);
bool is_online(const Device& device, std::int64_t now_ms, std::int64_t poll_interval_s);
DeviceState state_of(const Device& device, std::int64_t now_ms, std::int64_t poll_interval_s);

// Thread-safe. Loaded once; written through by those who change the database.
class Fleet {
 public:
  Result<> load(DeviceStore& store);

  DevicePtr find(std::string_view id) const;  // null: unknown
  DevicePtr find_by_fingerprint(const std::string& fingerprint) const;
  std::vector<DevicePtr> all() const;  // sorted by id
  // Up to `limit` devices with ids above `after` that `wanted` accepts.
  std::vector<DevicePtr> page(const std::string& after, std::size_t limit,
                              const std::function<bool(const Device&)>& wanted) const;
  std::size_t size() const;

  void add(const DeviceRow& row);
  void add_certificate(const CertificateRow& row);
  std::vector<CertificateRow> certificates_of(const std::string& device) const;
  void membership_changed() { ++membership_; }              // labels, revocation
  std::uint64_t membership() const { return membership_; }  // changes whenever a selector may match otherwise

  void seen(Device& device, std::int64_t now_ms);
  std::vector<std::pair<std::string, std::int64_t>> take_seen();  // since the last call

 private:
  mutable std::shared_mutex mutex_;  // guards the maps
  std::map<std::string, DevicePtr, std::less<>> by_id_;
  std::unordered_map<std::string, DevicePtr> by_fingerprint_;
  std::map<std::string, std::vector<CertificateRow>> certificates_;  // by device, newest last
  std::atomic<std::uint64_t> membership_{1};
  std::mutex seen_mutex_;  // guards seen_
  std::vector<DevicePtr> seen_;
};

// A member's text; "" when it is absent or no text. For values that were checked when they came in.
std::string text_of(const Json& object, std::string_view key);

// Labels of a stored JSON object; anything that is not a string is left out.
Labels labels_from_json(const Json& value);

}  // namespace ferry::server
