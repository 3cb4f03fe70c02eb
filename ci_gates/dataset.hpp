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
  // The number of its slice in the policy's slice file; -1 without one.
  int slice(std::size_t sample) const { return slices_.empty() ? -1 : slices_[sample]; }
  // Scaled values of one sample, row-major; `into` is resized.
  void values(std::size_t sample, std::vector<float>& into) const;
  const std::string& name() const { return name_; }
  // SHA-256 over the bytes used (images then labels of the samples within the limit).
  const Digest& digest() const { return digest_; }
  const Digest& images_file_digest() const { return images_file_digest_; }  // of the file as it lies there

 private:
  std::string name_;
  std::string pixels_;
  std::vector<unsigned char> labels_, slices_;
  std::size_t rows_ = 0, columns_ = 0;
  double scale_ = 1, offset_ = 0;
  Digest digest_;
  Digest images_file_digest_;
};

// bad_input when the data set, or its image file, is among the digests of what the model was trained on: its
// accuracy there says nothing. Label files may be alike by chance and are not looked at.
Result<> refuse_training_data(const Dataset& dataset, const std::vector<Digest>& training);

// One IDX file's dimensions and data bytes. bad_input names the file and what is wrong: magic, type, dimensions,
// length.
struct IdxFile {
  std::vector<std::uint32_t> dimensions;
  std::string data;
};
Result<IdxFile> read_idx(const Path& file, std::size_t dimensions_expected);

}  // namespace ferry::ci_gates
