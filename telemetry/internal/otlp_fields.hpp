// Field numbers and metric names shared by the OTLP encoder and decoder (opentelemetry-proto metrics/v1, common/v1).
#pragma once
#include <cstdint>
#include <protozero/types.hpp>
#include <string_view>

namespace ferry::telemetry::otlp {

using Tag = protozero::pbf_tag_type;

namespace request {
constexpr Tag resource_metrics = 1;
}
namespace resource_metrics {
constexpr Tag resource = 1, scope_metrics = 2;
}
namespace resource {
constexpr Tag attributes = 1;
}
namespace scope_metrics {
constexpr Tag scope = 1, metrics = 2;
}
namespace scope {
constexpr Tag name = 1;
}
namespace key_value {
constexpr Tag key = 1, value = 2;
}
namespace any_value {
constexpr Tag string = 1, boolean = 2, integer = 3;
}
namespace metric {
constexpr Tag name = 1, unit = 3, gauge = 5, sum = 7, histogram = 9, exponential_histogram = 10;
}
namespace data {
constexpr Tag points = 1, temporality = 2, monotonic = 3;
}
namespace number_point {
constexpr Tag start = 2, time = 3, as_int = 6, attributes = 7;
}
namespace histogram_point {
constexpr Tag start = 2, time = 3, count = 4, bucket_counts = 6, bounds = 7, attributes = 9;
}
namespace exponential_point {
constexpr Tag attributes = 1, start = 2, time = 3, count = 4, sum = 5, scale = 6, zero_count = 7, positive = 8,
              negative = 9, min = 12, max = 13;
}
namespace buckets {
constexpr Tag offset = 1, counts = 2;
}
constexpr std::int32_t delta = 1, cumulative = 2;  // AggregationTemporality

constexpr std::string_view no_arm = "none";  // what an absent ferry.arm means

constexpr std::string_view duration_name = "ferry.inference.duration";
constexpr std::string_view errors_name = "ferry.inference.errors";
constexpr std::string_view class_name = "ferry.prediction.class";
constexpr std::string_view confidence_name = "ferry.prediction.confidence";
constexpr std::string_view mnlp_name = "ferry.prediction.mnlp";
constexpr std::string_view labels_name = "ferry.label.outcomes";
constexpr std::string_view memory_name = "ferry.worker.memory";
constexpr std::string_view dropped_name = "ferry.report.dropped";

}  // namespace ferry::telemetry::otlp
