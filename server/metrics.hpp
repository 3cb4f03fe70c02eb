// Counters for Prometheus. Labels are routes and codes, never a device.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace ferry::server {

// Thread-safe.
class Metrics {
 public:
  void request(std::string_view route, int status, std::chrono::nanoseconds took);
  void count(const std::string& name, std::uint64_t by = 1);  // a counter without labels, "ferry_…_total"
  // The same with one label; `reason` is one of a few codes of ours, never what a caller sent.
  void count_reason(const std::string& name, const std::string& reason, std::uint64_t by = 1);
  // Text exposition format of everything counted.
  std::string print() const;

 private:
  static constexpr std::array<double, 9> bounds_s{0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};
  struct Route {
    std::map<int, std::uint64_t> by_status;
    std::array<std::uint64_t, bounds_s.size() + 1> buckets{};
    double sum_s = 0;
  };
  mutable std::mutex mutex_;  // guards below
  std::map<std::string, Route, std::less<>> routes_;
  std::map<std::string, std::uint64_t> counters_;
  std::map<std::string, std::map<std::string, std::uint64_t>> by_reason_;
};

}  // namespace ferry::server
