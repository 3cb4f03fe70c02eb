#include "server/metrics.hpp"

#include <thread>
#include <vector>

using namespace ferry::server;
using namespace std::chrono_literals;

TEST_CASE("requests are counted by route and status, with their times in rising buckets") {
  Metrics metrics;
  metrics.request("/api/v1/devices", 200, 1ms);
  metrics.request("/api/v1/devices", 200, 30ms);
  metrics.request("/api/v1/devices", 404, 10s);
  const std::string text = metrics.print();
  for (const char* line : {
           "# TYPE ferry_http_requests_total counter\n",
           "ferry_http_requests_total{route=\"/api/v1/devices\",code=\"200\"} 2\n",
           "ferry_http_requests_total{route=\"/api/v1/devices\",code=\"404\"} 1\n",
           "# TYPE ferry_http_request_seconds histogram\n",
           "ferry_http_request_seconds_bucket{route=\"/api/v1/devices\",le=\"0.001\"} 1\n",
           "ferry_http_request_seconds_bucket{route=\"/api/v1/devices\",le=\"0.01\"} 1\n",
           "ferry_http_request_seconds_bucket{route=\"/api/v1/devices\",le=\"0.05\"} 2\n",
           "ferry_http_request_seconds_bucket{route=\"/api/v1/devices\",le=\"5\"} 2\n",
           "ferry_http_request_seconds_bucket{route=\"/api/v1/devices\",le=\"+Inf\"} 3\n",
           "ferry_http_request_seconds_count{route=\"/api/v1/devices\"} 3\n",
           "ferry_http_request_seconds_sum{route=\"/api/v1/devices\"} 10.031\n",
       })
    CHECK_THAT(text, Catch::Contains(line));
}

TEST_CASE("a counter without labels has its own type line") {
  Metrics metrics;
  metrics.count("ferry_things_total");
  metrics.count("ferry_things_total", 4);
  CHECK_THAT(metrics.print(), Catch::Contains("# TYPE ferry_things_total counter\nferry_things_total 5\n"));
}

TEST_CASE("a label never breaks the line, and every line ends") {
  Metrics metrics;
  metrics.request("a\"b\\c\nd", 200, 1ms);
  const std::string text = metrics.print();
  CHECK_THAT(text, Catch::Contains("route=\"a\\\"b\\\\c d\",code=\"200\"} 1\n"));
  CHECK(text.back() == '\n');
  CHECK(Metrics().print().back() == '\n');
}

TEST_CASE("counts from many threads all arrive") {
  Metrics metrics;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        metrics.request("/x", 200, 1us);
        metrics.count("ferry_x_total");
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK_THAT(metrics.print(), Catch::Contains("code=\"200\"} 4000\n") && Catch::Contains("ferry_x_total 4000\n"));
}
