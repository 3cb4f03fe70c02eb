// Open Inference Protocol v2, REST with the binary tensor extension: bodies to tensors and back, as pure functions.
#pragma once
#include "common/http/message.hpp"
#include "runtime/tensor.hpp"

#include <deque>
#include <string>
#include <vector>

namespace ferry::agent {

constexpr std::size_t inference_body_bytes_max = 64 * 1024 * 1024;
constexpr std::size_t inference_header_bytes_max = 16 * 1024 * 1024;  // the JSON part, tensors as JSON included
constexpr std::size_t request_id_bytes_max = 128;

// A parsed inference request. Views of `inputs` point into the HTTP request's body or into `decoded`; the HTTP request
// must outlive it. Movable, not copyable.
struct InferenceRequest {
  std::string id;  // the caller's, given back; may be empty
  std::vector<runtime::TensorView> inputs;
  std::vector<std::string> outputs;  // empty: all
  std::vector<bool> binary;          // per entry of `outputs`: as raw bytes
  bool binary_by_default = false;    // binary_data_output
  std::deque<std::string> decoded;   // bytes of tensors that came as JSON; a deque, so views stay valid

  InferenceRequest() = default;
  InferenceRequest(InferenceRequest&&) = default;
  InferenceRequest& operator=(InferenceRequest&&) = default;
  InferenceRequest(const InferenceRequest&) = delete;
  InferenceRequest& operator=(const InferenceRequest&) = delete;
};

// bad_input naming the tensor or field, what was expected and what came. `declared` types the inputs, so that a wrong
// datatype, shape or length never reaches a model.
Result<InferenceRequest> parse_inference(const http::Request& request, const std::vector<runtime::TensorInfo>& declared,
                                         const std::vector<runtime::TensorInfo>& outputs);

struct InferenceReply {
  std::string model;
  std::string version;
  std::string prediction_id;
  std::vector<runtime::TensorView> outputs;  // in the order of the answer
};
// JSON when no output is wanted as bytes, else header plus bytes. A NaN or infinity is `null` in JSON.
http::Response format_inference(const InferenceRequest& request, const InferenceReply& reply);

// {"error": "…"}
http::Response inference_error(int status, std::string_view message);
http::Response inference_error(const Error& error);  // status from the code

}  // namespace ferry::agent
