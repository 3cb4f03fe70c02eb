// Telemetry uploads: protobuf from a device.
#include "telemetry/otlp.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = fuzz::text_of(data, size);
  telemetry::Rejected rejected;
  auto lenient = telemetry::decode_otlp(bytes, &rejected);
  auto strict = telemetry::decode_otlp(bytes);
  fuzz::promise(!strict || lenient, "what is taken whole is taken in part");
  fuzz::promise(!strict || rejected.points == 0, "what is taken whole has no point left out");
  if (!strict) return 0;
  auto again = telemetry::decode_otlp(telemetry::encode_otlp(*strict));
  fuzz::promise(again.has_value(), "a window that was taken can be sent on");
  return 0;
}
