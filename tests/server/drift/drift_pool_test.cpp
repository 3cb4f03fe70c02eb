#include "server/drift/drift_pool.hpp"

#include "tests/telemetry/drift_fixture.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>
#include <numeric>

using namespace ferry;
using namespace ferry::server;
using ferry::test::Draws;
using telemetry::DriftFeature;

namespace {

std::uint64_t sum(const std::vector<std::uint64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

Contribution of_classes(std::vector<std::uint64_t> counts) {
  Contribution made;
  made.counts[DriftFeature::classes] = std::move(counts);
  return made;
}

// The devices in a place that outlives the pool.
struct Devices {
  std::vector<std::pair<std::string, Contribution>> all;
  void add(Contribution contribution) {
    all.emplace_back(fmt::format("dev-{:03}", all.size()), std::move(contribution));
  }
  std::vector<FromDevice> offered() const {
    std::vector<FromDevice> list;
    for (const auto& [name, contribution] : all) list.push_back({name, contribution});
    return list;
  }
};

}  // namespace

TEST_CASE("one of many devices may fill twice its equal share of a window, one of few never more than two thirds") {
  CHECK(share_max(0) == 1);
  CHECK(share_max(1) == 1);
  CHECK(share_max(2) == Approx(2.0 / 3));
  CHECK(share_max(3) == Approx(2.0 / 3));
  CHECK(share_max(4) == Approx(0.5));
  CHECK(share_max(20) == Approx(0.1));
}

TEST_CASE("a device's limit is the largest that keeps it within its share") {
  constexpr std::uint64_t plenty = 1'000'000'000'000;
  CHECK(device_limit({}, 1, plenty) == 0);
  CHECK(device_limit({500}, 1, plenty) == 500);
  CHECK(device_limit({500}, 0.1, plenty) == 0);  // alone of twenty: wait for the others
  CHECK(device_limit(std::vector<std::uint64_t>(9, 100), 0.1, plenty) == 0);
  CHECK(device_limit(std::vector<std::uint64_t>(10, 100), 0.1, plenty) == 100);
  std::vector<std::uint64_t> with_liar(19, 10);
  with_liar.push_back(1'000'000'000);
  CHECK(device_limit(with_liar, 0.1, plenty) == 21);  // 21 of 190 + 21 is a tenth, 22 would be more
  CHECK(device_limit({10, 1'000}, 2.0 / 3, plenty) == 20);
  for (const double share : {0.05, 0.1, 0.3, 2.0 / 3, 1.0}) {
    Draws draws(std::uint64_t(share * 1000));
    for (int run = 0; run < 200; ++run) {
      std::vector<std::uint64_t> totals;
      for (std::size_t i = 0; i < 1 + draws.below(40); ++i) totals.push_back(1 + draws.below(300));
      const std::uint64_t sum_max = 50 + draws.below(5'000);
      const std::uint64_t limit = device_limit(totals, share, sum_max);
      const auto total_at = [&](std::uint64_t most) {
        std::uint64_t made = 0;
        for (const std::uint64_t total : totals) made += std::min(total, most);
        return made;
      };
      const auto allowed = [&](std::uint64_t most) {
        return double(most) <= share * double(total_at(most)) * (1 + 1e-9) &&
               total_at(most) <= std::max<std::uint64_t>(sum_max, totals.size());
      };
      CHECK(allowed(limit));
      if (limit < *std::max_element(totals.begin(), totals.end())) CHECK_FALSE(allowed(limit + 1));
    }
  }
}

TEST_CASE("a window is no larger than what the reference can testify to, but each device has its say") {
  CHECK(device_limit(std::vector<std::uint64_t>(20, 1'000), 0.1, 2'000) == 100);
  CHECK(device_limit(std::vector<std::uint64_t>(5'000, 1'000), 0.1, 2'000) == 1);
}

TEST_CASE("a part of a device's predictions is drawn as they were drawn, and always the same for one seed") {
  const std::vector<std::uint64_t> counts{500, 300, 0, 150, 50};
  CHECK(draw_part(counts, 1'000, 7) == counts);
  CHECK(draw_part(counts, 2'000, 7) == counts);
  CHECK(sum(draw_part(counts, 0, 7)) == 0);
  CHECK(draw_part(counts, 40, 7) == draw_part(counts, 40, 7));
  CHECK(draw_part(counts, 40, 7) != draw_part(counts, 40, 8));
  for (const std::uint64_t part : {std::uint64_t(40), std::uint64_t(700)}) {  // few taken, few left
    std::vector<double> mean(counts.size());
    double variance = 0;
    constexpr int runs = 4'000;
    for (int seed = 0; seed < runs; ++seed) {
      const auto drawn = draw_part(counts, part, std::uint64_t(seed));
      CHECK(sum(drawn) == part);
      for (std::size_t bin = 0; bin < counts.size(); ++bin) {
        CHECK(drawn[bin] <= counts[bin]);
        mean[bin] += double(drawn[bin]) / runs;
      }
      variance += (double(drawn[0]) - 0.5 * double(part)) * (double(drawn[0]) - 0.5 * double(part)) / runs;
    }
    for (std::size_t bin = 0; bin < counts.size(); ++bin)
      CHECK(mean[bin] == Approx(double(part) * double(counts[bin]) / 1'000).margin(0.35));
    const double hypergeometric = double(part) * 0.25 * double(1'000 - part) / 999;
    CHECK(variance == Approx(hypergeometric).epsilon(0.1));
  }
}

TEST_CASE("a device that reports a thousand times as much as the others has twice their weight") {
  Devices devices;
  for (int i = 0; i < 19; ++i) devices.add(of_classes({5, 5}));
  devices.add(of_classes({0, 1'000'000}));
  const Pool made = pool(devices.offered(), 20, 2'000, "window");
  CHECK(made.devices == 20);
  CHECK(made.limited == 1);
  CHECK(made.counts[DriftFeature::classes] == std::vector<std::uint64_t>{95, 95 + 21});
}

TEST_CASE("until half the members have something, nobody's counts count") {
  Devices devices;
  for (int i = 0; i < 9; ++i) devices.add(of_classes({50, 50}));
  CHECK(pool(devices.offered(), 20, 2'000, "window").counts.samples() == 0);
  devices.add(of_classes({50, 50}));
  CHECK(pool(devices.offered(), 20, 2'000, "window").counts.samples() == 1'000);
}

TEST_CASE("each histogram is limited by itself, so that a lie in one gains nothing in another") {
  Devices devices;
  for (int i = 0; i < 3; ++i) {
    Contribution honest = of_classes({10, 10});
    honest.counts[DriftFeature::mnlp] = {10, 10};
    devices.add(std::move(honest));
  }
  Contribution liar = of_classes({10, 10});
  liar.counts[DriftFeature::mnlp] = {100'000, 0};
  devices.add(std::move(liar));
  const Pool made = pool(devices.offered(), 4, 2'000, "window");
  CHECK(made.counts.total(DriftFeature::classes) == 80);
  CHECK(made.counts.total(DriftFeature::mnlp) == 120);
  CHECK(made.counts.total(DriftFeature::confidence) == 0);
}

TEST_CASE("the order in which devices come changes nothing") {
  Devices devices;
  Draws draws(3);
  for (int i = 0; i < 12; ++i) devices.add(of_classes({draws.below(300), draws.below(300), draws.below(300)}));
  auto offered = devices.offered();
  const Pool made = pool(offered, 12, 500, "window");
  std::vector<FromDevice> backwards(offered.rbegin(), offered.rend());
  const Pool other = pool(backwards, 12, 500, "window");
  CHECK(made.counts == other.counts);
  CHECK(made.limited == other.limited);
  CHECK_FALSE(pool(offered, 12, 500, "the next window").counts == made.counts);
}

TEST_CASE("labels count when enough devices have some, and a liar's no more than twice the others'") {
  Devices devices;
  for (int i = 0; i < 4; ++i) {
    Contribution one = of_classes({10, 10});
    one.labels = {9, 1};
    devices.add(std::move(one));
  }
  devices.all[0].second.labels = {0, 1'000'000};
  const Pool made = pool(devices.offered(), 4, 2'000, "window");
  CHECK(made.labels == std::vector<std::uint64_t>{27, 3 + 30});
  CHECK(pool(devices.offered(), 20, 2'000, "window").labels.empty());
}

TEST_CASE("a contribution is what fits the reference, and audited labels alone") {
  const auto reference = ferry::test::drift_reference();
  Draws draws(5);
  auto window = ferry::test::as_release_window(reference, ferry::test::drift_window(draws, reference, 50));
  window.labels = {{{"audit", true}, 7}, {{"audit", false}, 2}, {{"user", false}, 90}};
  const Contribution made = read_contribution(reference, window);
  CHECK(made.counts.samples() == 50);
  CHECK(made.labels == std::vector<std::uint64_t>{7, 2});
  window.classes.push_back(1);  // another number of classes
  window.confidence.bounds[3] += 1e-3;
  window.labels.clear();
  const Contribution other = read_contribution(reference, window);
  CHECK(other.counts.total(DriftFeature::classes) == 0);
  CHECK(other.counts.total(DriftFeature::confidence) == 0);
  CHECK(other.counts.total(DriftFeature::mnlp) == 50);
  CHECK(other.labels.empty());
}

TEST_CASE("contributions add up, and stop before their sums are no longer exact") {
  Contribution all = of_classes({1, 2});
  Contribution more = of_classes({10, 20});
  more.labels = {3, 4};
  all.add(more);
  all.add(more);
  CHECK(all.counts[DriftFeature::classes] == std::vector<std::uint64_t>{21, 42});
  CHECK(all.labels == std::vector<std::uint64_t>{6, 8});
  Contribution huge;
  huge.labels = {telemetry::drift_counts_max, 0};
  all.add(huge);
  CHECK(all.labels == std::vector<std::uint64_t>{6, 8});
  CHECK(Contribution().empty());
  CHECK_FALSE(huge.empty());
}
