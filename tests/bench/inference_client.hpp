// An application on the device, as lean as one can be: one kept-alive Unix socket, requests composed beforehand.
#pragma once
#include "common/file.hpp"
#include "common/handle.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ferry::bench {

// POST …/infer with one FP32 image and the scores back, both as binary tensors.
std::string inference_request(std::string_view model, std::string_view image);
std::string feedback_request(std::string_view model, std::string_view prediction_id, int label);

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
};

class InferenceClient {
 public:
  static Result<InferenceClient> connect(const Path& socket);
  // One request, one answer. Blocks; an answer that does not come within ten seconds is a timeout.
  Result<> exchange(std::string_view request, Reply& reply);

 private:
  explicit InferenceClient(FileDescriptor fd) : fd_(std::move(fd)) {}
  FileDescriptor fd_;
};

// The scores behind the JSON part of a 200 answer.
Result<std::vector<float>> scores_of(const Reply& reply);
Result<std::string> prediction_id_of(const Reply& reply);

}  // namespace ferry::bench
