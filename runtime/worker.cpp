// One model, one thread, one socket: everything a worker does. It may die of a model at any line; nobody depends on it.
#include "runtime/worker.hpp"

#include "common/crypto.hpp"
#include "runtime/engine.hpp"
#include "runtime/hardware_profile.hpp"
#include "runtime/sandbox.hpp"
#include "runtime/worker_protocol.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <new>

namespace ferry::runtime {
namespace {

constexpr std::int64_t model_bytes_max = std::int64_t{2} * 1024 * 1024 * 1024;  // docs/formats/bundle.md

using Watch = std::chrono::steady_clock;
std::int64_t microseconds_since(Watch::time_point start) {
  return std::chrono::ceil<std::chrono::microseconds>(Watch::now() - start).count();
}

struct Answer {
  Json head;                    // without "ok" and "id"
  std::vector<Tensor> tensors;  // the body, in order
};

// Exactly `length` bytes whose digest is `expected`; anything else is a damaged slot.
Result<std::string> read_verified(const Path& path, std::int64_t length, const Digest& expected) {
  auto bytes = read_file(path, static_cast<std::size_t>(length));
  if (!bytes) {
    auto error = std::move(bytes).error();
    error.reason = "slot.corrupt";
    return error;
  }
  if (bytes->size() != static_cast<std::size_t>(length) || sha256(*bytes) != expected) {
    return Error{Errc::bad_signature,
                 path.string() + ": " + std::to_string(bytes->size()) + " bytes with digest " + sha256(*bytes).hex() +
                     ", expected " + std::to_string(length) + " with " + expected.hex(),
                 "slot.corrupt"};
  }
  return bytes;
}

std::int64_t status_field_bytes(std::string_view status, std::string_view key) {
  auto at = status.find(key);
  if (at == std::string_view::npos) return 0;
  at = status.find_first_of("0123456789", at);
  std::int64_t kib = 0;
  if (at != std::string_view::npos) std::from_chars(status.data() + at, status.data() + status.size(), kib);
  return kib * 1024;
}

Json infos_to_json(const std::vector<TensorInfo>& infos) {
  Json array = Json::array();
  for (const auto& info : infos) array.push_back(to_json(info));
  return array;
}

class Worker {
 public:
  Worker(int fd, const WorkerOptions& options)
      : fd_(fd), options_(options), status_(open("/proc/self/status", O_RDONLY | O_CLOEXEC)) {}

  int run();

 private:
  using Operation = Result<Answer> (Worker::*)(const Json& head, std::string_view body);
  struct Row {
    std::string_view op;
    Operation run;
  };
  static const Row rows[];

  Result<Answer> hello(const Json& head, std::string_view body);
  Result<Answer> profile(const Json& head, std::string_view body);
  Result<Answer> load(const Json& head, std::string_view body);
  Result<Answer> infer(const Json& head, std::string_view body);
  Result<Answer> stats(const Json& head, std::string_view body);
  Result<Answer> ping(const Json& head, std::string_view body);
  Result<Answer> stop(const Json& head, std::string_view body);

  Result<> open_engine();
  // Null when the worker goes on, else its exit code.
  std::optional<int> serve(const Frame& frame);
  bool send(std::uint64_t id, const Result<Answer>& answer);
  bool write_all(std::vector<iovec> parts) const;

  int fd_;
  WorkerOptions options_;
  FileDescriptor status_;  // opened before the sandbox closes the door
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  std::uint64_t inferences_ = 0;
  bool load_tried_ = false;
  bool stopping_ = false;
};

const Worker::Row Worker::rows[] = {{"infer", &Worker::infer}, {"ping", &Worker::ping},       {"stats", &Worker::stats},
                                    {"hello", &Worker::hello}, {"profile", &Worker::profile}, {"load", &Worker::load},
                                    {"stop", &Worker::stop}};

int Worker::run() {
  FrameParser parser;
  for (;;) {
    auto frame = parser.next();
    if (!frame) {
      std::fprintf(stderr, "%s\n", frame.error().context.c_str());
      return worker_exit_bad_frame;
    }
    if (*frame) {
      if (auto code = serve(**frame)) return *code;
      continue;
    }
    auto room = parser.prepare();
    auto count = read(fd_, room.data(), room.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return worker_exit_failed;
    if (count == 0) return parser.in_frame() ? worker_exit_bad_frame : 0;  // the supervisor is gone
    parser.commit(static_cast<std::size_t>(count));
  }
}

std::optional<int> Worker::serve(const Frame& frame) {
  auto head = parse_frame_head(frame.head);
  auto id = head ? integer_at(*head, "id", 0) : Result<std::int64_t>(head.error());
  if (!id) {
    std::fprintf(stderr, "%s\n", id.error().context.c_str());
    return worker_exit_bad_frame;
  }
  auto op = string_at(*head, "op", 32);
  Result<Answer> answer =
      Error{Errc::unsupported, "op: expected one of hello, profile, load, infer, stats, ping, stop"};
  if (op) {
    auto row = std::ranges::find(rows, std::string_view(*op), &Row::op);
    if (row != std::end(rows)) answer = (this->*row->run)(*head, frame.body);
  }
  if (!send(static_cast<std::uint64_t>(*id), answer)) return worker_exit_failed;
  if (stopping_) return 0;
  return std::nullopt;
}

bool Worker::send(std::uint64_t id, const Result<Answer>& answer) {
  std::size_t body_bytes = 0;
  Json head;
  if (answer) {
    head = answer->head;
    head["ok"] = true;
    head["id"] = id;
    for (const auto& tensor : answer->tensors) body_bytes += tensor.bytes.size();
  } else {
    head = failure_to_json(id, answer.error());
  }
  auto prefix = frame_prefix_and_head(head, body_bytes);
  if (!prefix) {
    if (!answer) return false;
    return send(id, Error{Errc::unsupported, "outputs: " + prefix.error().context, "trial.errors"});
  }
  std::vector<iovec> parts{{prefix->data(), prefix->size()}};
  if (answer) {
    for (const auto& tensor : answer->tensors) {
      if (!tensor.bytes.empty()) parts.push_back({const_cast<char*>(tensor.bytes.data()), tensor.bytes.size()});
    }
  }
  return write_all(std::move(parts));
}

bool Worker::write_all(std::vector<iovec> parts) const {
  std::size_t first = 0;
  while (first < parts.size()) {
    auto count = writev(fd_, parts.data() + first, static_cast<int>(parts.size() - first));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    auto left = static_cast<std::size_t>(count);
    while (first < parts.size() && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (first < parts.size()) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
  return true;
}

Result<> Worker::open_engine() {
  if (engine_) return {};
  auto engine = open_onnx_engine(options_.runtime_library);
  if (!engine) {  // no release is to blame for it
    auto error = std::move(engine).error();
    if (error.reason.empty()) error.reason = "device.runtime";
    return error;
  }
  engine_ = std::move(*engine);
  return {};
}

Result<Answer> Worker::hello(const Json& head, std::string_view) {
  TRY(auto protocol, integer_at(head, "protocol"));
  if (protocol != worker_protocol_version) {
    return Error{Errc::unsupported, "protocol: " + std::to_string(protocol) + ", this worker speaks " +
                                        std::to_string(worker_protocol_version) +
                                        "; ferry-agent and ferry-worker must come from one release"};
  }
  return Answer{Json{{"protocol", worker_protocol_version}, {"pid", getpid()}}, {}};
}

Result<Answer> Worker::profile(const Json&, std::string_view) {
  TRY_VOID(open_engine());
  auto profile = read_hardware_profile();
  measure_hardware(profile);
  return Answer{Json{{"profile", to_json(profile, "", engine_->info())}}, {}};  // the supervisor fills in agent_version
}

Result<Answer> Worker::load(const Json& head, std::string_view) {
  if (load_tried_)
    return Error{Errc::conflict, "load: this worker has tried to load a model before; start another worker"};
  TRY(auto path, string_at(head, "path"));
  TRY(auto digest_hex, string_at(head, "sha256", 64));
  TRY(auto digest, Digest::from_hex(digest_hex));
  TRY(auto length, integer_at(head, "length", 1, model_bytes_max));
  TRY(auto threads, integer_or(head, "threads", 1, 1, threads_max));
  TRY(auto memory_bytes_max, integer_or(head, "memory_bytes_max", 0, 0));
  load_tried_ = true;
  TRY_VOID(open_engine());  // everything the engine reads from disk, before the door closes
  TRY(auto model, read_verified(path, length, digest));
  auto sandboxed = enter_sandbox(SandboxStage::loading);
  if (!sandboxed) std::fprintf(stderr, "%s\n", sandboxed.error().context.c_str());
  TRY(bool limited, limit_memory(static_cast<std::uint64_t>(memory_bytes_max)));
  auto start = Watch::now();
  SessionOptions session_options;
  session_options.threads = static_cast<int>(threads);
  TRY(session_, engine_->load(model, session_options));
  auto load_us = microseconds_since(start);
  if (sandboxed) sandboxed = enter_sandbox(SandboxStage::serving);
  auto info = engine_->info();
  return Answer{Json{{"inputs", infos_to_json(session_->inputs())},
                     {"outputs", infos_to_json(session_->outputs())},
                     {"opset", session_->opset()},
                     {"load_us", load_us},
                     {"memory_limited", limited},
                     {"sandboxed", static_cast<bool>(sandboxed)},
                     {"runtime", {{"name", info.name}, {"version", info.version}}}},
                {}};
}

Result<Answer> Worker::infer(const Json& head, std::string_view body) {
  if (!session_) return Error{Errc::conflict, "infer: no model is loaded"};
  TRY(auto inputs, tensors_from_frame(head, "inputs", body));
  std::vector<std::string> outputs;
  TRY(const Json* wanted, array_at(head, "outputs", tensors_max));
  for (const auto& name : *wanted) {
    if (!name.is_string()) return Error{Errc::bad_input, "outputs: expected names"};
    outputs.push_back(name.get<std::string>());
  }
  auto start = Watch::now();
  TRY(auto tensors, session_->run(inputs, outputs));
  auto compute_us = microseconds_since(start);
  ++inferences_;
  Answer answer{Json{{"outputs", tensors_to_json(views_of(tensors))}, {"compute_us", compute_us}}, {}};
  answer.tensors = std::move(tensors);
  return answer;
}

Result<Answer> Worker::stats(const Json&, std::string_view) {
  char text[4096];
  auto count = pread(status_.get(), text, sizeof text, 0);
  std::string_view status(text, count > 0 ? static_cast<std::size_t>(count) : 0);
  return Answer{Json{{"rss_bytes", status_field_bytes(status, "VmRSS:")},
                     {"rss_peak_bytes", status_field_bytes(status, "VmHWM:")},
                     {"inferences", inferences_}},
                {}};
}

Result<Answer> Worker::ping(const Json&, std::string_view) { return Answer{Json::object(), {}}; }

Result<Answer> Worker::stop(const Json&, std::string_view) {
  stopping_ = true;
  return Answer{Json::object(), {}};
}

// A library that cannot bear an exception ends here; memory is the one cause the supervisor wants to know.
[[noreturn]] void on_terminate() {
  int code = -1;
  if (auto problem = std::current_exception()) {
    try {
      std::rethrow_exception(problem);
    } catch (const std::bad_alloc&) {
      code = worker_exit_out_of_memory;
    } catch (...) {
    }
  }
  if (code >= 0) _exit(code);
  std::abort();
}

}  // namespace

int run_worker(int fd, const WorkerOptions& options) {
  settle_as_worker();
  std::set_terminate(on_terminate);
  try {
    return Worker(fd, options).run();
  } catch (const std::bad_alloc&) {
    return worker_exit_out_of_memory;
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "worker: %s\n", problem.what());
    return worker_exit_failed;
  }
}

}  // namespace ferry::runtime
