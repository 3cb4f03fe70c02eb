// Frame codec: see the header for the rules, docs/formats/worker-frames.md for the bytes.
#include "runtime/worker_protocol.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace ferry::runtime {
namespace {

// Small frames (an image in, ten scores out) arrive whole in one read.
constexpr std::size_t inlet_bytes = 32 * 1024;
constexpr std::size_t body_alignment = 64;
// The body buffer grows with what has arrived: at most this much ahead of it, so that a length alone costs nothing.
constexpr std::size_t body_step_bytes = 1024 * 1024;
// A buffer larger than this is given back once its frame has been used.
constexpr std::size_t body_kept_bytes = 4 * 1024 * 1024;

void put_u32(std::string& out, std::size_t value) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xff);
}

std::size_t get_u32(const char* at) {
  std::size_t value = 0;
  for (int byte = 3; byte >= 0; --byte) value = (value << 8) | static_cast<unsigned char>(at[byte]);
  return value;
}

// Uninitialised, aligned bytes; grows by doubling.
class AlignedBuffer {
 public:
  ~AlignedBuffer() { std::free(data_); }
  AlignedBuffer() = default;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  char* data() const { return data_; }
  std::size_t capacity() const { return capacity_; }
  void grow(std::size_t capacity, std::size_t used) {
    if (capacity <= capacity_) return;
    capacity = (capacity + body_alignment - 1) / body_alignment * body_alignment;
    auto* fresh = static_cast<char*>(std::aligned_alloc(body_alignment, capacity));
    if (fresh == nullptr) throw std::bad_alloc();  // the worker's main loop ends the process with its own exit code
    if (used > 0) std::memcpy(fresh, data_, used);
    std::free(data_);
    data_ = fresh;
    capacity_ = capacity;
  }
  void reset() {
    std::free(data_);
    data_ = nullptr;
    capacity_ = 0;
  }

 private:
  char* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace

// Bytes enter `inlet` (prefix, head and the start of a body); the rest of a large body is read straight into `body`.
struct FrameParser::State {
  std::vector<char> inlet = std::vector<char>(inlet_bytes);
  std::size_t begin = 0;  // unread bytes of the inlet are [begin, end)
  std::size_t end = 0;
  bool lengths_known = false;
  std::size_t head_bytes = 0;
  std::size_t body_bytes = 0;
  bool head_done = false;
  std::string head;
  AlignedBuffer body;
  std::size_t body_have = 0;
  bool into_body = false;  // where prepare() pointed

  std::size_t available() const { return end - begin; }
};

FrameParser::FrameParser() : state_(std::make_unique<State>()) {}
FrameParser::FrameParser(FrameParser&&) noexcept = default;
FrameParser& FrameParser::operator=(FrameParser&&) noexcept = default;
FrameParser::~FrameParser() = default;

std::span<char> FrameParser::prepare() {
  auto& s = *state_;
  s.into_body = s.head_done && s.available() == 0;
  if (s.into_body) {
    if (s.body_have == s.body.capacity()) {
      s.body.grow(std::min(s.body_bytes, std::max(2 * s.body_have, body_step_bytes)), s.body_have);
    }
    return {s.body.data() + s.body_have, std::min(s.body.capacity(), s.body_bytes) - s.body_have};
  }
  if (s.begin > 0) {
    std::memmove(s.inlet.data(), s.inlet.data() + s.begin, s.available());
    s.end -= s.begin;
    s.begin = 0;
  }
  if (s.end == s.inlet.size()) s.inlet.resize(frame_prefix_bytes + frame_head_bytes_max);  // a long head
  return {s.inlet.data() + s.end, s.inlet.size() - s.end};
}

void FrameParser::commit(std::size_t bytes) {
  auto& s = *state_;
  (s.into_body ? s.body_have : s.end) += bytes;
}

Result<std::optional<Frame>> FrameParser::next() {
  auto& s = *state_;
  if (!s.lengths_known) {
    if (s.available() < frame_prefix_bytes) return std::optional<Frame>{};
    s.head_bytes = get_u32(s.inlet.data() + s.begin);
    s.body_bytes = get_u32(s.inlet.data() + s.begin + 4);
    if (s.head_bytes > frame_head_bytes_max || s.body_bytes > frame_body_bytes_max) {
      return Error{Errc::bad_input, "frame: head of " + std::to_string(s.head_bytes) + " and body of " +
                                        std::to_string(s.body_bytes) + " bytes, at most " +
                                        std::to_string(frame_head_bytes_max) + " and " +
                                        std::to_string(frame_body_bytes_max)};
    }
    s.begin += frame_prefix_bytes;
    s.lengths_known = true;
    s.body_have = 0;
    if (s.body.capacity() > body_kept_bytes) s.body.reset();
  }
  if (!s.head_done) {
    if (s.available() < s.head_bytes) return std::optional<Frame>{};
    s.head.assign(s.inlet.data() + s.begin, s.head_bytes);
    s.begin += s.head_bytes;
    s.head_done = true;
  }
  if (s.body_have < s.body_bytes && s.available() > 0) {
    std::size_t take = std::min(s.available(), s.body_bytes - s.body_have);
    s.body.grow(std::min(s.body_bytes, s.body_have + std::max(take, body_step_bytes / 64)), s.body_have);
    std::memcpy(s.body.data() + s.body_have, s.inlet.data() + s.begin, take);
    s.begin += take;
    s.body_have += take;
  }
  if (s.body_have < s.body_bytes) return std::optional<Frame>{};
  s.lengths_known = false;
  s.head_done = false;
  return std::optional<Frame>{Frame{s.head, std::string_view(s.body.data(), s.body_bytes)}};
}

bool FrameParser::in_frame() const { return state_->lengths_known || state_->available() > 0; }

Result<std::string> frame_prefix_and_head(const Json& head, std::size_t body_bytes) {
  std::string text = dump_json(head);
  if (text.size() > frame_head_bytes_max) {
    return Error{Errc::bad_input, "frame: head of " + std::to_string(text.size()) + " bytes, at most " +
                                      std::to_string(frame_head_bytes_max)};
  }
  if (body_bytes > frame_body_bytes_max) {
    return Error{Errc::bad_input, "frame: body of " + std::to_string(body_bytes) + " bytes, at most " +
                                      std::to_string(frame_body_bytes_max)};
  }
  std::string out;
  out.reserve(frame_prefix_bytes + text.size());
  put_u32(out, text.size());
  put_u32(out, body_bytes);
  return out += text;
}

Result<Json> parse_frame_head(std::string_view head) {
  JsonLimits limits;
  limits.bytes_max = frame_head_bytes_max;
  limits.depth_max = 8;
  auto parsed = parse_json(head, limits);
  if (!parsed) return std::move(parsed).error().within("frame head");
  if (!parsed->is_object()) return Error{Errc::bad_input, "frame head: not a JSON object"};
  return parsed;
}

Json tensors_to_json(std::span<const TensorView> tensors) {
  Json array = Json::array();
  for (const auto& tensor : tensors) {
    array.push_back({{"name", tensor.name},
                     {"datatype", to_string(tensor.datatype)},
                     {"shape", tensor.shape},
                     {"bytes", tensor.bytes.size()}});
  }
  return array;
}

Result<std::vector<TensorView>> tensors_from_json(const Json& head, std::string_view key, std::string_view body,
                                                  std::size_t& offset) {
  TRY(const Json* array, array_at(head, key, tensors_max));
  std::vector<TensorView> tensors;
  tensors.reserve(array->size());
  for (const auto& item : *array) {
    auto info = tensor_info_from_json(item);
    if (!info) return std::move(info).error().within(key);
    std::string where = std::string(key) + ": tensor \"" + info->name + "\"";
    auto expected = tensor_bytes(info->datatype, info->shape);
    if (!expected) return std::move(expected).error().within(where);
    auto bytes = integer_at(item, "bytes", 0, static_cast<std::int64_t>(tensor_bytes_max));
    if (!bytes) return std::move(bytes).error().within(where);
    auto length = static_cast<std::size_t>(*bytes);
    if (length != *expected) {
      return Error{Errc::bad_input, where + ": " + std::to_string(length) + " bytes, expected " +
                                        std::to_string(*expected) + " for its type and shape"};
    }
    if (length > body.size() - offset) {
      return Error{Errc::bad_input,
                   where + ": the body ends " + std::to_string(length - (body.size() - offset)) + " bytes too early"};
    }
    tensors.push_back({std::move(info->name), info->datatype, std::move(info->shape), body.substr(offset, length)});
    offset += length;
  }
  return tensors;
}

Result<std::vector<TensorView>> tensors_from_frame(const Json& head, std::string_view key, std::string_view body) {
  std::size_t offset = 0;
  TRY(auto tensors, tensors_from_json(head, key, body, offset));
  if (offset != body.size()) {
    return Error{Errc::bad_input, std::string(key) + ": " + std::to_string(body.size() - offset) +
                                      " bytes of the body belong to no tensor"};
  }
  return tensors;
}

std::vector<Tensor> copies_of(std::span<const TensorView> tensors) {
  std::vector<Tensor> copies;
  copies.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    copies.push_back({tensor.name, tensor.datatype, tensor.shape, std::string(tensor.bytes)});
  }
  return copies;
}

Json failure_to_json(std::uint64_t id, const Error& error) {
  constexpr std::size_t message_bytes_max = 4096;  // a runtime's message may quote the model
  return Json{{"ok", false},
              {"id", id},
              {"code", to_string(error.code)},
              {"reason", error.reason},
              {"message", error.context.substr(0, message_bytes_max)}};
}

Error failure_from_json(const Json& head) {
  auto text = [&head](std::string_view key, std::size_t bytes_max) {
    auto value = string_or(head, key, "", bytes_max);
    return value ? *value : std::string("unreadable");
  };
  Error error{Errc::internal, text("message", 8192), text("reason", 64)};
  if (error.context.empty()) error.context = "the worker gave no message";
  auto name = text("code", 64);
  for (int code = 0; code <= static_cast<int>(Errc::internal); ++code) {
    if (to_string(static_cast<Errc>(code)) == name) error.code = static_cast<Errc>(code);
  }
  return error;
}

}  // namespace ferry::runtime
