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
constexpr Tag name = 1, version = 2, attributes = 3;
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
constexpr Tag start = 2, time = 3, as_double = 4, as_int = 6, attributes = 7;
}
namespace histogram_point {
constexpr Tag start = 2, time = 3, count = 4, sum = 5, bucket_counts = 6, bounds = 7, attributes = 9, min = 11,
              max = 12;
}
namespace exponential_point {
constexpr Tag attributes = 1, start = 2, time = 3, count = 4, sum = 5, scale = 6, zero_count = 7, positive = 8,
              negative = 9, min = 12, max = 13;
}
namespace buckets {
constexpr Tag offset = 1, counts = 2;
}
namespace response {
constexpr Tag partial_success = 1;
}
namespace partial_success {
constexpr Tag rejected_data_points = 1, error_message = 2;
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
constexpr std::string_view dropped_inferences_name = "ferry.report.dropped.inferences";
constexpr std::string_view delay_name = "ferry.label.delay";
constexpr std::string_view unjoinable_name = "ferry.label.unjoinable";
constexpr std::string_view refused_name = "ferry.request.refused";
constexpr std::string_view input_tensors_name = "ferry.input.tensors";
constexpr std::string_view input_values_name = "ferry.input.values";
constexpr std::string_view input_squares_name = "ferry.input.squares";
constexpr std::string_view output_name = "ferry.output.findings";
constexpr std::string_view agreement_name = "ferry.shadow.agreement";
constexpr std::string_view gap_name = "ferry.shadow.gap";

constexpr std::string_view agreed_classes = "=";  // ferry.shadow.agreement, attribute classes; else "3>5" or this:
constexpr std::string_view other_classes = "other";
constexpr int delay_scale = 0;

}  // namespace ferry::telemetry::otlp
