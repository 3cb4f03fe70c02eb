#include "ci_gates/dataset.hpp"

#include <zlib.h>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t idx_bytes_max = std::size_t{2} << 30;  // 2 GiB of data: larger sets want their own format
constexpr unsigned piece_bytes = 256 * 1024;
constexpr unsigned char idx_type_unsigned_byte = 0x08;

using GzipFile = Handle<gzFile_s, gzclose>;

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) { return std::uint32_t(static_cast<unsigned char>(bytes[at + i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

// zlib reads plain files through the same calls.
Result<std::string> read_maybe_gzip(const Path& file) {
  GzipFile reader(gzopen(file.c_str(), "rb"));
  if (!reader) return errno_error("open", file);
  std::string bytes;
  for (;;) {
    const std::size_t have = bytes.size();
    bytes.resize(have + piece_bytes);
    const int got = gzread(reader.get(), bytes.data() + have, piece_bytes);
    if (got < 0) return Error{Errc::bad_input, file.string() + ": damaged gzip data"};
    bytes.resize(have + std::size_t(got));
    if (got == 0) break;
    if (bytes.size() > idx_bytes_max) return Error{Errc::bad_input, file.string() + ": larger than 2 GiB"};
  }
  int state = Z_OK;
  gzerror(reader.get(), &state);
  if (state != Z_OK) return Error{Errc::bad_input, file.string() + ": truncated gzip data"};
  return bytes;
}

}  // namespace

Result<IdxFile> read_idx(const Path& file, std::size_t dimensions_expected) {
  TRY(std::string bytes, read_maybe_gzip(file));
  const auto refuse = [&](const std::string& why) { return Error{Errc::bad_input, file.string() + ": " + why}; };
  if (bytes.size() < 4 || bytes[0] != 0 || bytes[1] != 0)
    return refuse("not an IDX file: expected two zero bytes first");
  if (static_cast<unsigned char>(bytes[2]) != idx_type_unsigned_byte)
    return refuse("expected unsigned bytes (type 0x08)");
  if (static_cast<unsigned char>(bytes[3]) != dimensions_expected) {
    return refuse("expected " + std::to_string(dimensions_expected) + " dimensions, found " +
                  std::to_string(int(static_cast<unsigned char>(bytes[3]))));
  }
  const std::size_t head = 4 + 4 * dimensions_expected;
  if (bytes.size() < head) return refuse("truncated in its head");
  IdxFile idx;
  std::uint64_t expected = 1;
  for (std::size_t i = 0; i < dimensions_expected; ++i) {
    idx.dimensions.push_back(big_endian(bytes, 4 + 4 * i));
    if (idx.dimensions.back() == 0) return refuse("a dimension of size 0");
    if (__builtin_mul_overflow(expected, std::uint64_t(idx.dimensions.back()), &expected))
      return refuse("dimensions overflow");
  }
  if (bytes.size() - head != expected) {
    return refuse("expected " + std::to_string(expected) + " data bytes, found " + std::to_string(bytes.size() - head));
  }
  idx.data = bytes.substr(head);
  return idx;
}

Result<Dataset> Dataset::load(const DatasetSpec& spec) {
  TRY(IdxFile images, read_idx(spec.images, 3));
  TRY(IdxFile labels, read_idx(spec.labels, 1));
  if (images.dimensions[0] != labels.dimensions[0]) {
    return Error{Errc::bad_input, "dataset " + spec.name + ": " + std::to_string(images.dimensions[0]) +
                                      " images but " + std::to_string(labels.dimensions[0]) + " labels"};
  }
  Dataset made;
  made.name_ = spec.name;
  made.rows_ = images.dimensions[1];
  made.columns_ = images.dimensions[2];
  made.scale_ = spec.scale;
  made.offset_ = spec.offset;
  const std::size_t samples = std::min<std::size_t>(spec.limit, images.dimensions[0]);
  images.data.resize(samples * made.rows_ * made.columns_);
  made.pixels_ = std::move(images.data);
  made.labels_.assign(labels.data.begin(), labels.data.begin() + std::ptrdiff_t(samples));
  if (!spec.slices.empty()) {
    TRY(const IdxFile slices, read_idx(spec.slices, 1));
    if (slices.dimensions[0] != images.dimensions[0])
      return Error{Errc::bad_input, "dataset " + spec.name + ": " + std::to_string(images.dimensions[0]) +
                                        " images but " + std::to_string(slices.dimensions[0]) + " slice numbers"};
    made.slices_.assign(slices.data.begin(), slices.data.begin() + std::ptrdiff_t(samples));
  }
  TRY(const FileDigest file, digest_file(spec.images));
  made.images_file_digest_ = file.sha256;
  Hasher hasher;
  hasher.update(made.pixels_);
  hasher.update(std::string_view(labels.data).substr(0, samples));
  made.digest_ = hasher.finish();
  return made;
}

Result<> refuse_training_data(const Dataset& dataset, const std::vector<Digest>& training) {
  for (const Digest& seen : {dataset.digest(), dataset.images_file_digest()}) {
    if (std::find(training.begin(), training.end(), seen) == training.end()) continue;
    return Error{Errc::bad_input, "dataset " + dataset.name() + ": its digest " + seen.hex() +
                                      " is in training_sha256: the model has seen it. Give data it was not trained "
                                      "on"};
  }
  return {};
}

void Dataset::values(std::size_t sample, std::vector<float>& into) const {
  const std::size_t count = values_per_sample();
  into.resize(count);
  const auto* pixels = reinterpret_cast<const unsigned char*>(pixels_.data()) + sample * count;
  for (std::size_t i = 0; i < count; ++i) into[i] = float(double(pixels[i]) * scale_ + offset_);
}

}  // namespace ferry::ci_gates
