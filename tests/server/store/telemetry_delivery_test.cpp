// From recorded inferences to the server's sums: days offline, restarts, power cuts, a full disk and a channel that
// loses, doubles and reorders. What arrives is what was recorded, less what was counted as dropped, exactly once.
#include "server/store/telemetry.hpp"
#include "telemetry/recorder.hpp"
#include "telemetry/spool.hpp"
#include "tests/server/store/store_fixture.hpp"

#include <random>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using telemetry::Recorder;
using telemetry::Spool;

namespace {

constexpr std::int64_t start_ms = 1'790'000'000'000;
constexpr std::int64_t hour_ms = 3'600'000;

// A disk that refuses the statement that was agreed on, and from then on none: the transaction must leave no trace.
class UnreliableDisk final : public Database {
 public:
  explicit UnreliableDisk(Database& disk) : disk_(disk) {}
  void fail_after(int statements) { left_ = statements; }
  Result<std::vector<Row>> query(std::string_view sql, std::vector<Value> args) override {
    if (left_ >= 0 && left_-- == 0) return Error{Errc::no_space, "disk: full"};
    return disk_.query(sql, std::move(args));
  }
  Result<> transaction(const std::function<Result<>(Database&)>& body) override {
    return disk_.transaction([&](Database&) { return body(*this); });
  }

 private:
  Database& disk_;
  int left_ = -1;
};

struct Device {
  std::unique_ptr<Database> disk = need(open_sqlite(":memory:"));
  UnreliableDisk unreliable{*disk};
  Spool::Limits limits;
  std::optional<Recorder> recorder;
  std::optional<Spool> spool;
  int boots = 0;
  std::uint64_t recorded = 0, cut = 0, unspooled = 0;  // inferences: all; lost with the power; in memory
  std::uint64_t windows = 0;

  void boot() {
    ++boots;
    recorder.emplace(200);
    spool.emplace(need(Spool::open(unreliable, limits)));
  }
  void infer(int times, std::mt19937_64& dice, std::int64_t now_ms) {
    for (int i = 0; i < times; ++i) {
      telemetry::ReleaseKey key{"m", dice() % 10 == 0 ? "1.1.0" : "1.0.0", std::string(64, 'a'), "a", "", "none"};
      telemetry::InputStats looked;
      looked.tensors = looked.values = 1;
      looked.sum = looked.squares = looked.min = looked.max = 1;
      const telemetry::InputSeen inputs[] = {{"x", looked}};
      telemetry::InferenceSeen seen;
      seen.seconds = 0.001;
      seen.inputs = inputs;
      if (dice() % 20 == 0) seen.error_type = "trial.hang";
      if (recorder->record(key, seen)) recorder->close(now_ms);
      ++recorded;
      ++unspooled;
    }
  }
  // As the agent does it: what the disk does not take is kept and tried again.
  void close_window(std::int64_t now_ms, bool lengthen) {
    recorder->close(now_ms);
    auto closed = recorder->take_closed();
    for (std::size_t i = 0; i < closed.size(); ++i) {
      closed[i].install = "in-1";
      closed[i].boot = "bo-" + std::to_string(boots);
      if (!spool->add(closed[i], lengthen)) {
        recorder->put_back(
            {std::make_move_iterator(closed.begin() + std::ptrdiff_t(i)), std::make_move_iterator(closed.end())});
        return;
      }
      ++windows;
      unspooled -= closed[i].inference_count();
    }
  }
  void power_cut() {
    cut += std::exchange(unspooled, 0);
    boot();
  }
};

struct Channel {
  TelemetryStore& store;
  std::mt19937_64& dice;
  std::vector<std::string> delayed;
  std::uint64_t deliveries = 0, told_windows = 0, told_inferences = 0;

  void deliver(const std::string& upload, std::int64_t now_ms) {
    ++deliveries;
    const auto report = need(telemetry::decode_otlp(need(telemetry::gunzip(upload))));
    if (need(store.apply("dev-1", report, now_ms)) != UploadVerdict::applied) return;
    told_windows += report.dropped;
    told_inferences += report.dropped_inferences;
  }
  // True when the acknowledgement came back. A third is lost on the way there, some answers on the way back; copies
  // stay under way and arrive whenever.
  bool send(const std::string& upload, std::int64_t now_ms) {
    if (dice() % 5 == 0) delayed.push_back(upload);
    if (!delayed.empty() && dice() % 3 == 0) {
      std::swap(delayed[dice() % delayed.size()], delayed.back());
      deliver(delayed.back(), now_ms);
      delayed.pop_back();
    }
    if (dice() % 100 < 30) return false;
    deliver(upload, now_ms);
    return dice() % 100 >= 30;
  }
};

void send_some(Device& device, Channel& channel, int attempts, std::int64_t now_ms) {
  while (attempts-- > 0) {
    const auto pending = need(device.spool->oldest());
    if (!pending) return;
    if (channel.send(pending->upload, now_ms)) need(device.spool->remove(pending->id));
  }
}

}  // namespace

TEST_CASE(
    "what arrives is what was recorded less what was counted as dropped, exactly once, whatever happens between") {
  bool merged = false, dropped = false, cut = false;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    std::mt19937_64 dice(seed);
    Device device;
    device.limits = {.bytes_max = 3'000 + dice() % 12'000,
                     .windows_max = 4 + dice() % 40,
                     .age_ms_max = std::int64_t(2 + dice() % 8) * 24 * hour_ms};
    device.boot();
    auto database = memory_database();
    TelemetryStore store(*database);
    Channel channel{store, dice, {}, 0, 0, 0};
    std::int64_t now_ms = start_ms;
    bool online = true;
    for (int hour = 0; hour < 24 * 12; ++hour) {
      now_ms += hour_ms;
      if (dice() % 30 == 0) online = !online;
      device.infer(int(dice() % 12), dice, now_ms);
      if (dice() % 40 == 0) device.infer(300, dice, now_ms);  // more than a window holds
      if (dice() % 15 == 0) device.unreliable.fail_after(int(dice() % 12));
      device.close_window(now_ms, dice() % 4 == 0);
      device.unreliable.fail_after(-1);
      if (dice() % 25 == 0) device.infer(int(dice() % 5), dice, now_ms), device.power_cut();
      if (dice() % 40 == 0) device.close_window(now_ms, false), device.boot();  // a graceful end
      if (online) send_some(device, channel, 1 + int(dice() % 8), now_ms);
      const auto held = need(device.spool->counts());
      REQUIRE(held.windows <= device.limits.windows_max);
      REQUIRE(held.bytes <= device.limits.bytes_max);
    }
    device.close_window(now_ms, false);
    for (int rounds = 0; need(device.spool->oldest()) && rounds < 10'000; ++rounds)
      send_some(device, channel, 1, now_ms);
    device.infer(1, dice, now_ms);  // tells what was dropped since
    device.close_window(now_ms, false);
    while (need(device.spool->oldest())) send_some(device, channel, 1, now_ms);
    for (const std::string& late : channel.delayed) channel.deliver(late, now_ms);

    telemetry::ReleaseWindow sum;
    std::uint64_t arrived = 0, looked_at = 0;
    for (const DeviceTotal& total : need(store.totals("dev-1"))) {
      arrived += total.window.inference_count();
      looked_at += total.window.inputs.at("x").tensors;
      CHECK(total.window.inputs.at("x").sum == double(total.window.inputs.at("x").values));
    }
    const auto counts = need(device.spool->counts());
    CHECK(device.unspooled == 0);
    CHECK(arrived == device.recorded - device.cut - counts.dropped_inferences);
    CHECK(looked_at == arrived);
    CHECK(channel.told_windows == counts.dropped);
    CHECK(channel.told_inferences == counts.dropped_inferences);
    merged = merged || device.windows > channel.deliveries;
    dropped = dropped || counts.dropped > 0;
    cut = cut || device.cut > 0;
  }
  CHECK(merged);  // the seeds have seen all of it
  CHECK(dropped);
  CHECK(cut);
}
