// Lookup tables over device rows.
#include "server/fleet/fleet.hpp"

namespace ferry::server {

std::string_view to_string(DeviceState state) {
  switch (state) {
    case DeviceState::fresh:
      return "new";
    case DeviceState::ok:
      return "ok";
    case DeviceState::updating:
      return "updating";
    case DeviceState::attention:
      return "attention";
    case DeviceState::offline:
      return "offline";
    case DeviceState::revoked:
      return "revoked";
  }
  return "";
}

bool is_online(const Device& device, std::int64_t now_ms, std::int64_t poll_interval_s) {
  const std::int64_t seen = device.last_seen_ms;
  return !device.revoked && seen != 0 && now_ms - seen <= online_intervals * poll_interval_s * 1000 + online_grace_ms;
}

DeviceState state_of(const Device& device, std::int64_t now_ms, std::int64_t poll_interval_s) {
  if (device.revoked) return DeviceState::revoked;
  if (device.last_seen_ms == 0) return DeviceState::fresh;
  if (!is_online(device, now_ms, poll_interval_s)) return DeviceState::offline;
  const auto facts = device.facts();
  bool attention = facts->alarm_ms != 0 && now_ms - facts->alarm_ms < attention_alarm_ms;
  for (const Json& model : facts->models) {
    const auto update = object_at(model, "update");
    const std::string state = update ? text_of(**update, "state") : "";
    if (!state.empty() && state != "idle") return DeviceState::updating;
    attention = attention || !text_of(model, "last_reason").empty();
  }
  return attention ? DeviceState::attention : DeviceState::ok;
}

std::string text_of(const Json& object, std::string_view key) {
  auto text = string_or(object, key, "");
  return text ? std::move(*text) : std::string();
}

Labels labels_from_json(const Json& value) {
  Labels labels;
  if (!value.is_object()) return labels;
  for (const auto& [key, text] : value.items())
    if (text.is_string()) labels[key] = text.get<std::string>();
  return labels;
}

void Device::change(const std::function<void(DeviceFacts&)>& change) {
  std::lock_guard lock(mutex_);
  auto next = std::make_shared<DeviceFacts>(*facts_.load());
  change(*next);
  facts_.store(std::move(next));
  ++version;
}

Digest Device::running(const std::string& model) const {
  const auto facts = this->facts();
  for (const Json& entry : facts->models) {
    if (text_of(entry, "model") != model) continue;
    const auto active = object_at(entry, "active");
    if (!active) return {};
    auto digest = Digest::from_hex(text_of(**active, "manifest_sha256"));
    return digest ? *digest : Digest{};
  }
  return {};
}

Result<> Fleet::load(DeviceStore& store) {
  TRY(auto rows, store.all());
  for (const DeviceRow& row : rows) add(row);
  TRY(auto certificates, store.certificates());
  std::sort(certificates.begin(), certificates.end(),
            [](const auto& a, const auto& b) { return a.issued_ms < b.issued_ms; });
  for (const CertificateRow& row : certificates) add_certificate(row);
  return {};
}

DevicePtr Fleet::find(std::string_view id) const {
  std::shared_lock lock(mutex_);
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : found->second;
}

DevicePtr Fleet::find_by_fingerprint(const std::string& fingerprint) const {
  std::shared_lock lock(mutex_);
  const auto found = by_fingerprint_.find(fingerprint);
  return found == by_fingerprint_.end() ? nullptr : found->second;
}

std::vector<DevicePtr> Fleet::all() const {
  std::shared_lock lock(mutex_);
  std::vector<DevicePtr> devices;
  devices.reserve(by_id_.size());
  for (const auto& [id, device] : by_id_) devices.push_back(device);
  return devices;
}

std::vector<DevicePtr> Fleet::page(const std::string& after, std::size_t limit,
                                   const std::function<bool(const Device&)>& wanted) const {
  std::shared_lock lock(mutex_);
  std::vector<DevicePtr> devices;
  for (auto at = by_id_.upper_bound(after); at != by_id_.end() && devices.size() < limit; ++at)
    if (wanted(*at->second)) devices.push_back(at->second);
  return devices;
}

std::size_t Fleet::size() const {
  std::shared_lock lock(mutex_);
  return by_id_.size();
}

void Fleet::add(const DeviceRow& row) {
  auto device = std::make_shared<Device>(row.id, row.enrolled_ms);
  device->last_seen_ms = row.last_seen_ms;
  device->revoked = row.state == "revoked";
  device->change([&](DeviceFacts& facts) {
    facts.alarm_ms = row.alarm_ms;
    if (auto labels = parse_json(row.labels)) facts.labels = labels_from_json(*labels);
    if (auto models = parse_json(row.models); models && models->is_array()) facts.models = std::move(*models);
    facts.profile = row.profile;
    if (auto profile = parse_json(row.profile); profile && profile->is_object()) {
      facts.hardware_class = text_of(*profile, "hardware_class");
      facts.agent_version = text_of(*profile, "agent_version");
    }
  });
  {
    std::unique_lock lock(mutex_);
    by_id_[row.id] = std::move(device);
  }
  membership_changed();
}

void Fleet::add_certificate(const CertificateRow& row) {
  std::unique_lock lock(mutex_);
  const auto device = by_id_.find(row.device);
  if (device == by_id_.end()) return;
  by_fingerprint_[row.fingerprint] = device->second;
  auto& list = certificates_[row.device];
  list.push_back(row);
  while (list.size() > static_cast<std::size_t>(certificates_per_device_max)) {
    by_fingerprint_.erase(list.front().fingerprint);
    list.erase(list.begin());
  }
}

std::vector<CertificateRow> Fleet::certificates_of(const std::string& device) const {
  std::shared_lock lock(mutex_);
  const auto found = certificates_.find(device);
  return found == certificates_.end() ? std::vector<CertificateRow>() : found->second;
}

void Fleet::seen(Device& device, std::int64_t now_ms) {
  device.last_seen_ms = now_ms;
  if (device.seen_dirty.exchange(true)) return;
  DevicePtr owner = find(device.id);
  std::lock_guard lock(seen_mutex_);
  if (owner) seen_.push_back(std::move(owner));
}

std::vector<std::pair<std::string, std::int64_t>> Fleet::take_seen() {
  std::vector<DevicePtr> devices;
  {
    std::lock_guard lock(seen_mutex_);
    devices.swap(seen_);
  }
  std::vector<std::pair<std::string, std::int64_t>> seen;
  seen.reserve(devices.size());
  for (const DevicePtr& device : devices) {
    device->seen_dirty = false;
    seen.emplace_back(device->id, device->last_seen_ms);
  }
  return seen;
}

}  // namespace ferry::server
