// The little that Ferry reads from an ONNX file itself: its operator set, which ONNX Runtime's C API does not tell.
#pragma once
#include <cstdint>
#include <string_view>

namespace ferry::runtime {

// ModelProto.opset_import of the default domain; 0 when absent or when the bytes are not a protobuf message.
std::int64_t onnx_opset(std::string_view model);

}  // namespace ferry::runtime
