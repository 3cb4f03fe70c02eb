// The frames between supervisor and worker (docs/formats/worker-frames.md): codec and bounded incremental parser.
#pragma once
#include "common/json.hpp"
#include "runtime/tensor.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::runtime {

constexpr std::size_t frame_head_bytes_max = 64 * 1024;
constexpr std::size_t frame_body_bytes_max = tensor_bytes_max;
constexpr std::size_t frame_prefix_bytes = 8;  // u32 head length, u32 body length, little-endian
constexpr int worker_protocol_version = 1;
constexpr int worker_fd = 3;              // where the worker finds its end of the socketpair
constexpr int worker_exit_bad_frame = 3;  // the worker's exit code after a frame that breaks the rules

// Prefix and head of a frame whose body (`body_bytes` long) the caller sends behind it. bad_input: over a limit.
Result<std::string> frame_prefix_and_head(const Json& head, std::size_t body_bytes);

// One whole frame. The views point into the parser.
struct Frame {
  std::string_view head;
  std::string_view body;  // 64-byte aligned
};

// Takes bytes as they come from a stream and yields frames in order. Memory: what has arrived, never what a length
// claims. Not thread-safe.
//   auto room = parser.prepare();  n = read(fd, room.data(), room.size());
//   parser.commit(n);   then next() until it gives an error or nullopt
class FrameParser {
 public:
  FrameParser();
  FrameParser(FrameParser&&) noexcept;
  FrameParser& operator=(FrameParser&&) noexcept;
  ~FrameParser();

  // Where the next bytes may go; never empty. Call it only when next() gave nothing.
  std::span<char> prepare();
  // `bytes` of prepare()'s room were filled.
  void commit(std::size_t bytes);
  // The next whole frame, nullopt when more bytes are needed; its views live until the following call of next() or
  // prepare(). bad_input when a length breaks the limits: the stream is then unusable.
  Result<std::optional<Frame>> next();
  // True when the bytes so far end in the middle of a frame.
  bool in_frame() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A parsed head: JSON within limits, an object.
Result<Json> parse_frame_head(std::string_view head);

// "inputs"/"outputs" of a head. to_json gives the array; the bytes go into the body in the same order.
Json tensors_to_json(std::span<const TensorView> tensors);
// Reads the array `key` of `head`; the tensors' bytes are the next ones of `body` from `offset`, which moves on.
// bad_input naming the tensor: unknown type, a "bytes" that disagrees with type and shape, or a body too short.
Result<std::vector<TensorView>> tensors_from_json(const Json& head, std::string_view key, std::string_view body,
                                                  std::size_t& offset);
// The same for a whole body: bytes left over are bad_input.
Result<std::vector<TensorView>> tensors_from_frame(const Json& head, std::string_view key, std::string_view body);
std::vector<Tensor> copies_of(std::span<const TensorView> tensors);

// {"ok":false,"id":n,"code":…,"reason":…,"message":…} and back.
Json failure_to_json(std::uint64_t id, const Error& error);
Error failure_from_json(const Json& head);

}  // namespace ferry::runtime
