// Inference requests of applications on the device: JSON, with tensors in it or behind it.
#include "agent/open_inference.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace ferry;
using runtime::DataType;
using runtime::TensorInfo;

// The first byte decides what the model takes; the second how much of the rest is JSON, when it is not all.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static const std::vector<TensorInfo> models[] = {
      {{"image", DataType::fp32, {-1, 2}}, {"mask", DataType::boolean, {3}}},
      {{"x", DataType::int64, {-1}}},
      {{"x", DataType::uint8, {2, -1, 2}}},
      {{"x", DataType::fp64, {}}},
  };
  static const std::vector<TensorInfo> outputs{{"logits", DataType::fp32, {-1, 2}}, {"count", DataType::int64, {}}};
  const auto& declared = models[data[0] % std::size(models)];
  http::Request request;
  request.method = "POST";
  request.body = fuzz::text_of(data + 2, size - 2);
  if (data[1] != 0)
    request.headers["inference-header-content-length"] = std::to_string(request.body.size() * data[1] / 255);
  auto parsed = agent::parse_inference(request, declared, outputs);
  if (!parsed) return 0;
  fuzz::promise(parsed->inputs.size() == declared.size(), "every declared input is there");
  std::uint64_t sum = 0;
  for (const auto& tensor : parsed->inputs)
    for (const char byte : tensor.bytes) sum += static_cast<unsigned char>(byte);  // nothing dangles
  agent::InferenceReply reply{.model = "m", .version = "1", .prediction_id = std::to_string(sum)};
  reply.outputs = parsed->inputs;
  auto response = agent::format_inference(*parsed, reply);
  fuzz::promise(response.status == 200, "an accepted request can be answered");
  return 0;
}
