// The yardstick: ONNX Runtime's C API called directly, as an application without Ferry would.
#pragma once
#include "common/file.hpp"

#include <memory>
#include <string>
#include <vector>

namespace ferry::bench {

// One image in, one row of scores out. Session options are those of runtime/onnx_engine.cpp; change both together.
class BareModel {
 public:
  static Result<std::unique_ptr<BareModel>> open(const Path& library, const std::string& model, int threads);
  ~BareModel();
  Result<> run(const std::string& image, std::vector<float>& scores);

 private:
  struct State;
  explicit BareModel(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ferry::bench
