#include "tests/bench/support.hpp"

#include "common/handle.hpp"

#include <zlib.h>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

constexpr std::size_t image_header_bytes = 16;  // IDX: magic number and three dimensions
constexpr std::size_t label_header_bytes = 8;

Result<std::string> read_idx(const Path& path, std::size_t header_bytes, std::size_t bytes) {
  const Handle<gzFile_s, gzclose> file(gzopen(path.c_str(), "rb"));
  if (!file) return Error{Errc::not_found, path.string() + ": cannot be opened; install dataset-fashion-mnist"};
  std::string content(header_bytes + bytes, '\0');
  const int got = gzread(file.get(), content.data(), static_cast<unsigned>(content.size()));
  if (got != static_cast<int>(content.size()))
    return Error{Errc::bad_input, path.string() + ": " + std::to_string(got) + " bytes, expected at least " +
                                      std::to_string(content.size())};
  return content.substr(header_bytes);
}

}  // namespace

double percentile(std::vector<double> values, double p) {
  const auto rank = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rank), values.end());
  return values[rank];
}

Json spread(const std::vector<double>& samples) {
  Json all = Json::object();
  all["median"] = percentile(samples, 0.5);
  all["min"] = *std::min_element(samples.begin(), samples.end());
  all["max"] = *std::max_element(samples.begin(), samples.end());
  all["samples"] = samples.size();
  return all;
}

Result<std::vector<std::string>> read_images(const Path& path, std::size_t count) {
  TRY(const std::string pixels, read_idx(path, image_header_bytes, count * image_pixels));
  std::vector<std::string> images(count, std::string(image_bytes, '\0'));
  for (std::size_t at = 0; at < count * image_pixels; ++at) {
    const float value = static_cast<float>(static_cast<unsigned char>(pixels[at])) / 255.0F;
    std::memcpy(images[at / image_pixels].data() + at % image_pixels * sizeof value, &value, sizeof value);
  }
  return images;
}

Result<std::vector<int>> read_labels(const Path& path, std::size_t count) {
  TRY(const std::string bytes, read_idx(path, label_header_bytes, count));
  return std::vector<int>(bytes.begin(), bytes.end());
}

std::vector<float> floats_of(std::string_view bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

int finish(const Result<Json>& outcome) {
  if (!outcome) {
    std::fprintf(stderr, "error: %s\n", outcome.error().context.c_str());
    return 1;
  }
  std::printf("%s\n", dump_json(*outcome).c_str());
  return 0;
}

}  // namespace ferry::bench
