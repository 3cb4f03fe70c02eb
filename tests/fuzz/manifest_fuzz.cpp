// The manifest: signed by a release key, which may have been stolen.
#include "ota/manifest.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;
using namespace ferry::ota;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto manifest = parse_manifest(fuzz::text_of(data, size));
  if (!manifest) return 0;
  auto printed = print_manifest(*manifest);
  auto again = parse_manifest(printed);
  fuzz::promise(again.has_value(), "a printed manifest is read back");
  fuzz::promise(print_manifest(*again) == printed, "printing is stable");
  return 0;
}
