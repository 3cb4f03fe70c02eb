// bundle.toml as a person writes it, read into a draft manifest (docs/formats/bundle.md).
#pragma once
#include "common/file.hpp"
#include "ota/manifest.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ferry::cli {

struct BundleFile {
  ota::Manifest manifest;         // without version, counter, created and blobs
  std::vector<Path> model_files;  // one per variant, relative ones taken from bundle.toml's folder
};

// "{version}" in a variant's file is replaced. Unknown fields are refused, naming them.
Result<BundleFile> parse_bundle_file(std::string_view text, const Path& file, std::string_view version);
Result<BundleFile> read_bundle_file(const Path& file, std::string_view version);

}  // namespace ferry::cli
