// A real worker in a process of its own, on a socketpair: protocol, limits, sandbox, hostile models.
#include "runtime/worker.hpp"

#include "common/crypto.hpp"
#include "common/handle.hpp"
#include "runtime/worker_protocol.hpp"
#include "tests/runtime/onnx_builder.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>

using namespace ferry;
using namespace ferry::runtime;
using namespace ferry::test;

namespace {

struct Answer {
  Json head;
  std::vector<Tensor> outputs;
  bool ok() const { return head.value("ok", false); }
};

// The supervisor's side, blocking: a test may wait, the agent may not.
class ForkedWorker {
 public:
  ForkedWorker() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      close(ends[0]);
      WorkerOptions options;
      options.runtime_library = FERRY_ONNXRUNTIME_LIBRARY;
      _exit(run_worker(ends[1], options));
    }
    close(ends[1]);
    fd_ = FileDescriptor(ends[0]);
  }
  ~ForkedWorker() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

  void send_raw(std::string_view bytes) {
    REQUIRE(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() { fd_ = FileDescriptor(); }

  // nullopt: the worker closed the connection instead of answering.
  std::optional<Answer> ask(Json head, const std::vector<Tensor>& inputs = {}) {
    head["id"] = ++id_;
    std::string body;
    for (const auto& tensor : inputs) body += tensor.bytes;
    send_raw(*frame_prefix_and_head(head, body.size()) + body);
    return receive();
  }
  std::optional<Answer> receive() {
    for (;;) {
      auto frame = parser_.next();
      REQUIRE(frame);
      if (*frame) {
        Answer answer{*parse_frame_head((*frame)->head), {}};
        CHECK(answer.head["id"] == id_);
        if (answer.head.contains("outputs") && answer.head["op"].is_null() && !(*frame)->body.empty()) {
          answer.outputs = copies_of(*tensors_from_frame(answer.head, "outputs", (*frame)->body));
        }
        return answer;
      }
      auto room = parser_.prepare();
      auto count = read(fd_.get(), room.data(), room.size());
      if (count <= 0) return std::nullopt;
      parser_.commit(static_cast<std::size_t>(count));
    }
  }
  // How the process ended: the exit code, or minus the signal.
  int wait_end() {
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  FileDescriptor fd_;
  FrameParser parser_;
  std::uint64_t id_ = 0;
};

class ModelFile {
 public:
  explicit ModelFile(std::string bytes) : bytes_(std::move(bytes)) {
    char name[] = "/tmp/ferry-model-XXXXXX";
    FileDescriptor fd(mkstemp(name));
    path_ = name;
    std::ofstream(path_, std::ios::binary) << bytes_;
  }
  ~ModelFile() { unlink(path_.c_str()); }
  Json load(std::int64_t memory_bytes_max = 0) const {
    return Json{{"op", "load"},
                {"path", path_},
                {"sha256", sha256(bytes_).hex()},
                {"length", bytes_.size()},
                {"threads", 1},
                {"memory_bytes_max", memory_bytes_max},
                {"optimized_cache", ""}};
  }

 private:
  std::string bytes_;
  std::string path_;
};

Json infer_request(const std::vector<Tensor>& inputs) {
  return Json{{"op", "infer"}, {"inputs", tensors_to_json(views_of(inputs))}, {"outputs", Json::array()}};
}

std::vector<Tensor> rows_and_columns(std::int64_t rows, std::int64_t columns) {
  return {{"shape", DataType::int64, {2}, bytes_of<std::int64_t>({rows, columns})}};
}

}  // namespace

TEST_CASE("a worker greets, loads, infers, counts and stops") {
  ForkedWorker worker;
  auto hello = worker.ask({{"op", "hello"}, {"protocol", 1}});
  REQUIRE(hello);
  CHECK(hello->ok());
  CHECK(hello->head["pid"] == worker.pid());
  ModelFile model(doubling_model());
  auto loaded = worker.ask(model.load());
  REQUIRE(loaded);
  INFO(loaded->head.dump());
  REQUIRE(loaded->ok());
  CHECK(loaded->head["inputs"] == Json::parse(R"([{"name":"x","datatype":"FP32","shape":[-1,3]}])"));
  CHECK(loaded->head["opset"] == 13);
  CHECK(loaded->head["sandboxed"] == true);
  CHECK(loaded->head["runtime"]["name"] == "onnxruntime");
  auto x = std::vector{float_tensor("x", {2, 3}, {1, 2, 3, 4, 5, 6})};
  auto answer = worker.ask(infer_request(x), x);
  REQUIRE(answer);
  REQUIRE(answer->ok());
  CHECK(answer->outputs == std::vector{float_tensor("y", {2, 3}, {2, 4, 6, 8, 10, 12})});
  CHECK(answer->head["compute_us"].get<std::int64_t>() > 0);
  auto stats = worker.ask({{"op", "stats"}});
  REQUIRE(stats);
  CHECK(stats->head["inferences"] == 1);
  CHECK(stats->head["rss_bytes"].get<std::int64_t>() > 1'000'000);
  CHECK(stats->head["rss_peak_bytes"].get<std::int64_t>() >= stats->head["rss_bytes"].get<std::int64_t>());
  CHECK(worker.ask({{"op", "ping"}})->ok());
  CHECK(worker.ask({{"op", "stop"}})->ok());
  CHECK(worker.wait_end() == 0);
}

TEST_CASE("a worker tells what the hardware is") {
  ForkedWorker worker;
  auto answer = worker.ask({{"op", "profile"}});
  REQUIRE(answer);
  REQUIRE(answer->ok());
  CHECK(answer->head["profile"]["format"] == "ferry.profile/1");
  CHECK(answer->head["profile"]["runtime"]["name"] == "onnxruntime");
}

TEST_CASE("a request the worker cannot do gets an answer that says why, and the next one works") {
  ForkedWorker worker;
  ModelFile model(doubling_model());
  auto refused = [&](const Json& request) {
    auto answer = worker.ask(request);
    REQUIRE(answer);
    CHECK(!answer->ok());
    return answer->head["code"].get<std::string>() + ": " + answer->head["message"].get<std::string>();
  };
  CHECK_THAT(refused({{"op", "hello"}, {"protocol", 2}}), Catch::StartsWith("unsupported: protocol: 2"));
  CHECK_THAT(refused({{"op", "dance"}}), Catch::StartsWith("unsupported: op"));
  CHECK_THAT(refused(Json::object()), Catch::StartsWith("unsupported: op"));
  CHECK_THAT(refused(infer_request({})), Catch::StartsWith("conflict"));
  for (const char* field : {"path", "sha256", "length"}) {
    auto request = model.load();
    request.erase(field);
    CHECK_THAT(refused(request), Catch::StartsWith("bad_input") && Catch::Contains(field));
  }
  auto request = model.load();
  request["threads"] = 1000;
  CHECK_THAT(refused(request), Catch::Contains("threads"));
  REQUIRE(worker.ask(model.load())->ok());
  CHECK_THAT(refused(model.load()), Catch::StartsWith("conflict"));
  CHECK_THAT(refused(infer_request({})), Catch::StartsWith("bad_input") && Catch::Contains("\"x\": missing"));
  auto x = std::vector{float_tensor("x", {1, 3}, {1, 2, 3})};
  request = infer_request(x);
  auto answer = worker.ask(request);  // the body is missing
  REQUIRE(answer);
  CHECK_THAT(answer->head["message"].get<std::string>(), Catch::Contains("\"x\"") && Catch::Contains("too early"));
  CHECK(worker.ask(request, x)->ok());
}

TEST_CASE("a file that is not what was promised is not loaded") {
  ModelFile model(doubling_model());
  auto refusal = [](Json request) {
    ForkedWorker worker;
    auto answer = worker.ask(std::move(request));
    REQUIRE(answer);
    CHECK(!answer->ok());
    return answer->head["reason"].get<std::string>();
  };
  auto request = model.load();
  request["sha256"] = std::string(64, '0');
  CHECK(refusal(request) == "slot.corrupt");
  request = model.load();
  request["length"] = request["length"].get<int>() + 1;
  CHECK(refusal(request) == "slot.corrupt");
  request["length"] = request["length"].get<int>() - 2;
  CHECK(refusal(request) == "slot.corrupt");
  request = model.load();
  request["path"] = "/nonexistent/model.onnx";
  CHECK(refusal(request) == "slot.corrupt");
}

TEST_CASE("a worker ends with its own code on a frame that breaks the rules, and with 0 when the supervisor goes") {
  auto end_after = [](std::string_view bytes) {
    ForkedWorker worker;
    worker.send_raw(bytes);
    worker.hang_up();
    return worker.wait_end();
  };
  CHECK(end_after("") == 0);
  CHECK(end_after(*frame_prefix_and_head(Json{{"op", "ping"}}, 0)) == worker_exit_bad_frame);  // no id
  CHECK(end_after(std::string_view("\xff\xff\xff\xff\0\0\0\0", 8)) == worker_exit_bad_frame);
  CHECK(end_after(std::string_view("\2\0\0\0\0\0\0\0[]", 10)) == worker_exit_bad_frame);
  CHECK(end_after(std::string_view("\2\0\0\0\0\0\0\0{", 9)) == worker_exit_bad_frame);
}

TEST_CASE("a model that wants more memory than it may have gets an answer, and the worker goes on") {
  ForkedWorker worker;
  ModelFile model(hungry_model());
  auto loaded = worker.ask(model.load(160 * 1024 * 1024));
  REQUIRE(loaded);
  INFO(loaded->head.dump());
  REQUIRE(loaded->ok());
  if (!loaded->head["memory_limited"].get<bool>()) {
    WARN("sanitizer build: RLIMIT_DATA cannot be set, memory limit not tested");
    return;
  }
  auto small = rows_and_columns(10, 10);
  auto large = rows_and_columns(20'000, 10'000);  // 800 MB
  CHECK(worker.ask(infer_request(small), small)->ok());
  for (int time = 0; time < 3; ++time) {
    auto answer = worker.ask(infer_request(large), large);
    REQUIRE(answer);
    CHECK(!answer->ok());
    CHECK(answer->head["reason"] == "trial.memory");
  }
  auto answer = worker.ask(infer_request(small), small);
  REQUIRE(answer);
  CHECK(floats_of(answer->outputs.at(0).bytes) == std::vector<float>{100});
}

TEST_CASE("corrupted model files never hurt more than the worker that loads them") {
  std::mt19937 random(20261123);
  std::string model = doubling_model();
  std::vector<std::string> files{"x", std::string(1 << 20, '\0'), std::string("\x3a\xff\xff\xff\xff\x0f", 6)};
  std::string noise(100'000, '\0');
  for (auto& c : noise) c = static_cast<char>(random());
  files.push_back(noise);
  for (int time = 0; time < 12; ++time) {
    auto damaged = model;
    for (int flip = 0; flip < 4; ++flip) damaged[random() % damaged.size()] = static_cast<char>(random());
    files.push_back(damaged);
  }
  // Claims of huge tensors: the shape says terabytes, the bytes are not there.
  OnnxModel huge;
  huge.inputs = {{"x", onnx_float, {1}}};
  huge.outputs = {{"y", onnx_float, {-1, -1}}};
  huge.constants = {{"w", onnx_float, {1LL << 40, 1LL << 40}, "abcd"}};
  huge.nodes = {{"Add", {"x", "w"}, {"y"}}};
  files.push_back(onnx_bytes(huge));
  huge.constants = {{"w", onnx_float, {-5}, "abcd"}};
  files.push_back(onnx_bytes(huge));
  for (const auto& bytes : files) {
    ForkedWorker worker;
    ModelFile file(bytes);
    auto answer = worker.ask(file.load(512 * 1024 * 1024));
    if (!answer) {  // the worker died of it: allowed, and it is dead for good
      CHECK(worker.wait_end() != 0);
      continue;
    }
    if (!answer->ok()) {
      CHECK((answer->head["reason"] == "trial.load" || answer->head["reason"] == "trial.memory"));
    }
    CHECK(worker.ask({{"op", "ping"}})->ok());
  }
}
