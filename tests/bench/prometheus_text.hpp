// The yardstick for an upload's size: the same window as Prometheus text, what a scraper or a push gateway would carry.
#pragma once
#include "telemetry/window.hpp"

#include <string>

namespace ferry::bench {

struct PrometheusText {
  std::string bytes;
  std::size_t samples = 0;
};

// Every number of the report, none left out: histograms as cumulative buckets (empty latency buckets as no line at
// all), counters as counters, each line with the labels that our data points carry as attributes. `with_seq` false: the
// report's number is left out, as whoever keeps series does: as a label it would make new series of every report.
PrometheusText prometheus_text(const telemetry::WindowReport& report, bool with_seq = true);

}  // namespace ferry::bench
