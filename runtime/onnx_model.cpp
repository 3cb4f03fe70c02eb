// Walks the top-level fields of a ModelProto; bounded by the bytes themselves, tolerant of anything.
#include "runtime/onnx_model.hpp"

#include <protozero/pbf_reader.hpp>

namespace ferry::runtime {
namespace {

constexpr protozero::pbf_tag_type model_opset_import = 8;
constexpr protozero::pbf_tag_type opset_domain = 1;
constexpr protozero::pbf_tag_type opset_version = 2;

std::int64_t default_version(protozero::pbf_reader opset) {
  bool default_domain = true;
  std::int64_t version = 0;
  while (opset.next()) {
    if (opset.tag_and_type() == protozero::tag_and_type(opset_domain, protozero::pbf_wire_type::length_delimited)) {
      auto domain = opset.get_view();
      default_domain = domain.size() == 0 || std::string_view(domain.data(), domain.size()) == "ai.onnx";
    } else if (opset.tag_and_type() == protozero::tag_and_type(opset_version, protozero::pbf_wire_type::varint)) {
      version = opset.get_int64();
    } else {
      opset.skip();
    }
  }
  return default_domain ? version : 0;
}

}  // namespace

std::int64_t onnx_opset(std::string_view model) {
  try {  // protozero throws on malformed input
    protozero::pbf_reader reader(model.data(), model.size());
    std::int64_t version = 0;
    while (reader.next()) {
      if (reader.tag_and_type() ==
          protozero::tag_and_type(model_opset_import, protozero::pbf_wire_type::length_delimited)) {
        if (auto found = default_version(reader.get_message()); found != 0) version = found;
      } else {
        reader.skip();
      }
    }
    return version;
  } catch (const std::exception&) {
    return 0;
  }
}

}  // namespace ferry::runtime
