// What the benchmark programs share: order statistics, real test images, one JSON document on standard output.
#pragma once
#include "common/file.hpp"
#include "common/json.hpp"

#include <span>
#include <string>
#include <vector>

namespace ferry::bench {

constexpr std::size_t image_pixels = 28 * 28;
constexpr std::size_t image_bytes = image_pixels * sizeof(float);

double percentile(std::vector<double> values, double p);  // nearest rank; `values` not empty
// {"median", "min", "max", "samples"}: how every figure is told.
Json spread(const std::vector<double>& samples);

// The first `count` images of a gzipped IDX file as the model takes them: FP32, pixels divided by 255.
Result<std::vector<std::string>> read_images(const Path& path, std::size_t count);
Result<std::vector<int>> read_labels(const Path& path, std::size_t count);

std::vector<float> floats_of(std::string_view bytes);

// Prints the document, or the error on standard error; the program's exit code.
int finish(const Result<Json>& outcome);

}  // namespace ferry::bench
