// The supervisor's end of a real ferry-worker: answers in order, deaths with their cause, limits.
#include "agent/worker_process.hpp"

#include "agent/worker_spawn.hpp"
#include "runtime/worker.hpp"
#include "runtime/worker_protocol.hpp"
#include "tests/agent/serving_world.hpp"

#include <boost/asio/io_context.hpp>

#include <csignal>

using namespace ferry;
using namespace ferry::agent;
using namespace ferry::test;
using namespace std::chrono_literals;

namespace {

using Answers = std::vector<Result<WorkerAnswer>>;

// Everything on this thread: the io_context runs only while a test waits.
struct Bench {
  TempDir directory;
  SystemClock clock;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::debug};
  boost::asio::io_context io;
  WorkerLaunch launch{worker_program(), FERRY_ONNXRUNTIME_LIBRARY, {}};
  std::shared_ptr<WorkerProcess> worker;
  int deaths = 0;

  Bench() = default;
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    worker.reset();
    ::close(null);
  }

  void start() {
    auto started = WorkerProcess::start(io, launch, "test", log);
    REQUIRE(started);
    worker = *started;
    worker->on_death([this] { ++deaths; });
  }
  void start(const std::string& model, std::int64_t memory_mib = 0) {
    start();
    REQUIRE(write_file_atomic(directory / "model.onnx", model));
    auto loaded = ask(load_request(directory / "model.onnx", sha256(model).hex(), model.size(), memory_mib << 20));
    INFO((loaded ? "" : loaded.error().context));
    REQUIRE(loaded);
  }
  bool run_until(const std::function<bool()>& condition, std::chrono::seconds limit = 20s) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= until) return false;
      io.restart();
      io.run_one_for(20ms);
    }
    return true;
  }
  void send(Answers& into, Json head, const std::vector<runtime::Tensor>& inputs = {}, Duration limit = 20s) {
    worker->call(std::move(head), runtime::views_of(inputs), limit,
                 [&into](Result<WorkerAnswer> answer) { into.push_back(std::move(answer)); });
  }
  Result<WorkerAnswer> ask(Json head, const std::vector<runtime::Tensor>& inputs = {}, Duration limit = 20s) {
    Answers answers;
    send(answers, std::move(head), inputs, limit);
    REQUIRE(run_until([&] { return !answers.empty(); }));
    return answers.front();
  }
  Result<WorkerAnswer> infer(const std::vector<std::int64_t>& x, Duration limit = 20s) {
    auto inputs = std::vector{int_tensor("x", x)};
    return ask(infer_request(runtime::views_of(inputs), {}), inputs, limit);
  }
  void expect_death(const std::string& reason) {
    REQUIRE(run_until([&] { return deaths == 1; }));
    CHECK_FALSE(worker->alive());
    INFO(worker->death().message);
    CHECK(worker->death().reason == reason);
    CHECK(worker->waiting() == 0);
  }
};

int exited(int code) { return code << 8; }

}  // namespace

TEST_CASE("an exit status is explained by what ended the worker") {
  auto reason = [](int status, std::uint64_t oom_kills = 0, std::string_view words = "") {
    return explain_death(status, oom_kills, words).reason;
  };
  CHECK(reason(exited(0)) == "trial.crash");
  CHECK(reason(exited(1)) == "trial.crash");
  CHECK(reason(exited(runtime::worker_exit_bad_frame)) == "trial.crash");
  CHECK(reason(exited(runtime::worker_exit_out_of_memory)) == "trial.memory");
  CHECK(reason(SIGSEGV) == "trial.crash");
  CHECK(reason(SIGABRT) == "trial.crash");
  CHECK(reason(SIGABRT, 0, "terminate called after throwing an instance of 'std::bad_alloc'\n") == "trial.memory");
  CHECK(reason(SIGKILL) == "trial.crash");
  CHECK(reason(SIGKILL, 1) == "trial.memory");
  CHECK(reason(SIGSEGV, 1) == "trial.crash");  // somebody else was killed for memory meanwhile
  auto death = explain_death(SIGSEGV, 0, "first line\nlast line\n\n");
  CHECK_THAT(death.message, Catch::Contains("SIGSEGV") && Catch::EndsWith("it said: last line"));
  CHECK(explain_death(exited(3), 0, std::string(10'000, 'x')).message.size() < 600);
}

TEST_CASE("a worker loads and answers, in order, requests that were sent without waiting") {
  Bench bench;
  bench.start(twice_model());
  CHECK(bench.worker->alive());
  CHECK(bench.worker->pid() > 0);
  Answers answers;
  for (std::int64_t n = 0; n < 20; ++n) {
    auto inputs = std::vector{int_tensor("x", {n})};
    bench.send(answers, infer_request(runtime::views_of(inputs), {}), inputs);
  }
  CHECK(bench.worker->waiting() == 20);
  REQUIRE(bench.run_until([&] { return answers.size() == 20; }));
  for (std::int64_t n = 0; n < 20; ++n) {
    REQUIRE(answers[static_cast<std::size_t>(n)]);
    CHECK(answers[static_cast<std::size_t>(n)]->body == bytes_of<std::int64_t>({2 * n}));
  }
  CHECK(bench.deaths == 0);
}

TEST_CASE("a refusal of the worker is that request's alone") {
  Bench bench;
  bench.start(picky_model());
  auto refused = bench.infer({99});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == "trial.errors");
  CHECK(bench.infer({3}));
  auto odd = bench.ask(Json{{"op", "dance"}});
  REQUIRE_FALSE(odd);
  CHECK(odd.error().code == Errc::unsupported);
}

TEST_CASE("requests larger than the socket takes go out in pieces, and others wait their turn") {
  Bench bench;
  bench.start(twice_model());
  std::vector<std::int64_t> large(4'000'000, 21);  // 32 MB
  Answers answers;
  auto inputs = std::vector{int_tensor("x", large)};
  auto small = std::vector{int_tensor("x", {1})};
  bench.send(answers, infer_request(runtime::views_of(inputs), {}), inputs);
  bench.send(answers, infer_request(runtime::views_of(small), {}), small);
  REQUIRE(bench.run_until([&] { return answers.size() == 2; }));
  REQUIRE(answers[0]);
  CHECK(answers[0]->body.size() == inputs[0].bytes.size());
  CHECK(answers[0]->body.substr(0, 8) == bytes_of<std::int64_t>({42}));
  REQUIRE(answers[1]);
  CHECK(answers[1]->body == bytes_of<std::int64_t>({2}));
}

TEST_CASE("too many waiting requests, or too many waiting bytes, are refused at once with unavailable") {
  Bench bench;
  bench.launch.limits.waiting_max = 3;
  bench.launch.limits.unsent_bytes_max = 1'000'000;
  bench.start(twice_model());
  REQUIRE(::kill(bench.worker->pid(), SIGSTOP) == 0);
  Answers answers, refused;
  SECTION("requests") {
    for (int n = 0; n < 3; ++n) bench.send(answers, Json{{"op", "ping"}});
    bench.send(refused, Json{{"op", "ping"}});
  }
  SECTION("bytes") {
    auto inputs = std::vector{int_tensor("x", std::vector<std::int64_t>(200'000, 1))};
    for (int n = 0; n < 2; ++n)
      bench.send(n == 0 ? answers : refused, infer_request(runtime::views_of(inputs), {}), inputs);
  }
  CHECK(refused.empty());  // never from inside call()
  REQUIRE(bench.run_until([&] { return refused.size() == 1; }));
  REQUIRE_FALSE(refused[0]);
  CHECK(refused[0].error().code == Errc::unavailable);
  REQUIRE(::kill(bench.worker->pid(), SIGCONT) == 0);
  REQUIRE(bench.run_until([&] { return bench.worker->waiting() == 0; }));
  CHECK_FALSE(answers.empty());
  CHECK(std::ranges::all_of(answers, [](const auto& answer) { return static_cast<bool>(answer); }));
}

TEST_CASE("a worker that is killed fails the request it worked on and hands back those it had not begun") {
  Bench bench;
  bench.start(twice_model());
  REQUIRE(::kill(bench.worker->pid(), SIGSTOP) == 0);
  Answers answers;
  for (int n = 0; n < 3; ++n) bench.send(answers, Json{{"op", "ping"}});
  REQUIRE(::kill(bench.worker->pid(), SIGKILL) == 0);
  bench.expect_death("trial.crash");
  CHECK_THAT(bench.worker->death().message, Catch::Contains("SIGKILL"));
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].error().code == Errc::internal);
  CHECK(answers[0].error().reason == "trial.crash");
  for (int n : {1, 2}) CHECK(answers[static_cast<std::size_t>(n)].error().code == Errc::cancelled);
  auto late = bench.ask(Json{{"op", "ping"}});
  REQUIRE_FALSE(late);
  CHECK(late.error().code == Errc::cancelled);
}

TEST_CASE("a model that overflows a division kills its worker, and the signal is on record") {
  Bench bench;
  bench.start(crashing_model());
  CHECK(bench.infer({1})->body == bytes_of<std::int64_t>({std::numeric_limits<std::int64_t>::min()}));
  auto answer = bench.infer({-1});
  REQUIRE_FALSE(answer);
  CHECK(answer.error().reason == "trial.crash");
  bench.expect_death("trial.crash");
}

TEST_CASE("a worker that does not answer in time is killed for it; waiting in the queue does not count") {
  Bench bench;
  bench.start(twice_model());
  Answers answers;
  REQUIRE(::kill(bench.worker->pid(), SIGSTOP) == 0);
  bench.send(answers, Json{{"op", "ping"}}, {}, 300ms);
  bench.send(answers, Json{{"op", "ping"}}, {}, 300ms);
  bench.expect_death("trial.hang");
  CHECK(answers.at(0).error().reason == "trial.hang");
  CHECK_THAT(answers.at(0).error().context, Catch::Contains("300 ms"));
  CHECK(answers.at(1).error().code == Errc::cancelled);
}

TEST_CASE("a worker whose memory grew too large is killed for it, also when it has answered already") {
  Bench bench;
  bench.start(greedy_model());
  std::uint64_t sampled = 0;
  bench.worker->watch_memory(std::uint64_t{700} << 20, [&](std::uint64_t bytes) { sampled = bytes; });
  REQUIRE(bench.infer({1000, 1000}));
  REQUIRE(bench.run_until([&] { return sampled > 0; }));
  CHECK(bench.worker->alive());
  auto answer = bench.infer({20'000, 6'000});  // 2 x 480 MB, gone again when it answers
  if (!answer) CHECK(answer.error().reason == "trial.memory");
  bench.expect_death("trial.memory");
  CHECK_THAT(bench.worker->death().message, Catch::Contains("700 MiB"));
}

TEST_CASE("a memory limit of the worker's own is an answer, not a death") {
  Bench bench;
  bench.start(greedy_model(), 256);
  auto answer = bench.infer(greedy_question);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  CHECK(answer);  // no such limit in this build; the watch above is what is left
#else
  REQUIRE_FALSE(answer);
  CHECK(answer.error().reason == "trial.memory");
  CHECK(bench.worker->alive());
  CHECK(bench.infer({10, 10}));
#endif
}

TEST_CASE("stop lets the worker answer what is pending, however much, and tells nobody of a death") {
  Bench bench;
  bench.launch.limits.waiting_max = 5;
  bench.start(twice_model());
  Answers answers;
  for (int n = 0; n < 5; ++n) bench.send(answers, Json{{"op", "ping"}});
  pid_t pid = bench.worker->pid();
  bench.worker->stop();
  CHECK_FALSE(bench.worker->alive());
  REQUIRE(bench.run_until([&] { return answers.size() == 5 && ::kill(pid, 0) != 0; }));
  for (const auto& answer : answers) CHECK(answer);
  CHECK(bench.deaths == 0);
}

TEST_CASE("a worker that will not stop is killed after its time") {
  Bench bench;
  bench.launch.limits.stop = 200ms;
  bench.start(twice_model());
  pid_t pid = bench.worker->pid();
  REQUIRE(::kill(pid, SIGSTOP) == 0);
  bench.worker->stop();
  CHECK(bench.run_until([&] { return ::kill(pid, 0) != 0; }));
}

TEST_CASE("what is still pending when the io_context goes is thrown away with it, unanswered") {
  auto held = std::make_shared<int>(0);
  {
    Bench bench;
    bench.start();
    bench.worker->call(Json{{"op", "ping"}}, {}, 20s, [held, worker = bench.worker](const Result<WorkerAnswer>&) {
      FAIL("nobody runs the io_context");
    });
  }
  CHECK(held.use_count() == 1);
}

TEST_CASE("a worker dies with the object that stands for it") {
  pid_t pid = 0;
  {
    Bench bench;
    bench.start(twice_model());
    pid = bench.worker->pid();
  }
  CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("a program that is no worker of this release is the device's trouble, not a model's") {
  Bench bench;
  std::string script;
  SECTION("it ends at once") { script = "exit 0"; }
  SECTION("it says something else") { script = "echo GET / HTTP/1.0 >&3; exec cat <&3 >/dev/null"; }
  SECTION("it answers out of order") {
    script = R"(printf '\027\0\0\0\0\0\0\0{"ok":true,"id":7      }' >&3; exec cat <&3 >/dev/null)";
  }
  SECTION("it claims an answer of 4 GiB") {
    script = R"(printf '\377\377\377\377\377\377\377\377' >&3; exec cat <&3 >/dev/null)";
  }
  SECTION("it never answers") {
    script = "exec cat <&3 >/dev/null";
    bench.launch.limits.start = 300ms;
  }
  bench.launch.program = bench.directory / "program";
  REQUIRE(write_file_atomic(bench.launch.program, "#!/bin/sh\n" + script + "\n", 0755));
  bench.start();
  REQUIRE(bench.run_until([&] { return bench.deaths == 1; }));
  INFO(bench.worker->death().message);
  CHECK(bench.worker->death().reason == "device.runtime");
}

TEST_CASE("a runtime library that is missing is the device's trouble, not a model's") {
  Bench bench;
  bench.launch.runtime_library = "/nonexistent/libonnxruntime.so";
  bench.start();
  std::string model = twice_model();
  REQUIRE(write_file_atomic(bench.directory / "model.onnx", model));
  auto loaded = bench.ask(load_request(bench.directory / "model.onnx", sha256(model).hex(), model.size(), 0));
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().reason == "device.runtime");
  CHECK_THAT(loaded.error().context, Catch::Contains("/nonexistent/libonnxruntime.so"));
}
