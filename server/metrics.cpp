// Prints the text exposition format 0.0.4.
#include "server/metrics.hpp"

#include <fmt/format.h>

namespace ferry::server {
namespace {

// Routes come from our own table, but a label value must never break the line.
std::string label_value(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

void Metrics::request(std::string_view route, int status, std::chrono::nanoseconds took) {
  const double seconds = std::chrono::duration<double>(took).count();
  std::size_t bucket = 0;
  while (bucket < bounds_s.size() && seconds > bounds_s[bucket]) ++bucket;
  std::lock_guard lock(mutex_);
  auto found = routes_.find(route);
  if (found == routes_.end()) found = routes_.emplace(std::string(route), Route{}).first;
  ++found->second.by_status[status];
  ++found->second.buckets[bucket];
  found->second.sum_s += seconds;
}

void Metrics::count(const std::string& name, std::uint64_t by) {
  std::lock_guard lock(mutex_);
  counters_[name] += by;
}

void Metrics::count_reason(const std::string& name, const std::string& reason, std::uint64_t by) {
  std::lock_guard lock(mutex_);
  by_reason_[name][reason] += by;
}

std::string Metrics::print() const {
  std::lock_guard lock(mutex_);
  std::string text = "# TYPE ferry_http_requests_total counter\n";
  for (const auto& [name, route] : routes_)
    for (const auto& [status, count] : route.by_status)
      text +=
          fmt::format("ferry_http_requests_total{{route=\"{}\",code=\"{}\"}} {}\n", label_value(name), status, count);
  text += "# TYPE ferry_http_request_seconds histogram\n";
  for (const auto& [name, route] : routes_) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bounds_s.size(); ++i) {
      sum += route.buckets[i];
      text += fmt::format("ferry_http_request_seconds_bucket{{route=\"{}\",le=\"{}\"}} {}\n", label_value(name),
                          bounds_s[i], sum);
    }
    sum += route.buckets.back();
    text += fmt::format(
        "ferry_http_request_seconds_bucket{{route=\"{0}\",le=\"+Inf\"}} {1}\n"
        "ferry_http_request_seconds_sum{{route=\"{0}\"}} {2}\nferry_http_request_seconds_count{{route=\"{0}\"}} {1}\n",
        label_value(name), sum, route.sum_s);
  }
  for (const auto& [name, value] : counters_) text += fmt::format("# TYPE {0} counter\n{0} {1}\n", name, value);
  for (const auto& [name, reasons] : by_reason_) {
    text += fmt::format("# TYPE {} counter\n", name);
    for (const auto& [reason, value] : reasons)
      text += fmt::format("{}{{reason=\"{}\"}} {}\n", name, label_value(reason), value);
  }
  return text;
}

}  // namespace ferry::server
