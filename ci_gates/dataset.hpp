// Evaluation data: IDX files (the MNIST family's format), plain or gzip, checked and bounded.
#pragma once
#include "ci_gates/policy.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ferry::ci_gates {

// Immutable after loading.
class Dataset {
 public:
  static Result<Dataset> load(const DatasetSpec& spec);

  std::size_t size() const { return labels_.size(); }
  std::size_t values_per_sample() const { return rows_ * columns_; }
  std::int64_t rows() const { return std::int64_t(rows_); }
  std::int64_t columns() const { return std::int64_t(columns_); }
  int label(std::size_t sample) const { return labels_[sample]; }
  // Scaled values of one sample, row-major; `into` is resized.
  void values(std::size_t sample, std::vector<float>& into) const;
  const std::string& name() const { return name_; }
  // SHA-256 over the bytes used (images then labels of the samples within the limit).
  const Digest& digest() const { return digest_; }

 private:
  std::string name_;
  std::string pixels_;
  std::vector<unsigned char> labels_;
  std::size_t rows_ = 0, columns_ = 0;
  double scale_ = 1, offset_ = 0;
  Digest digest_;
};

// One IDX file's dimensions and data bytes. bad_input names the file and what is wrong: magic, type, dimensions,
// length.
struct IdxFile {
  std::vector<std::uint32_t> dimensions;
  std::string data;
};
Result<IdxFile> read_idx(const Path& file, std::size_t dimensions_expected);

}  // namespace ferry::ci_gates
