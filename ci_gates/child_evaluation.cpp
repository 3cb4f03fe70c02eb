// evaluate() in a child process: its answer crosses a pipe as JSON, its death becomes a verdict.
#include "ci_gates/evaluation.hpp"
#include "common/bytes.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

constexpr std::size_t answer_bytes_max = 128 * 1024 * 1024;
constexpr std::size_t text_bytes_max = 64 * 1024;
constexpr int watch_interval_ms = 50;
constexpr int end_checks_max = 200;  // of a child that has closed its pipe, 50 ms apart
#ifdef __SANITIZE_ADDRESS__
constexpr bool can_limit_memory = false;  // the sanitizer's shadow alone is larger than any limit
#else
constexpr bool can_limit_memory = true;
#endif

// {"ok": evaluation} or {"error": {...}}; runs in the child and never returns.
[[noreturn]] void child_main(int out, const std::function<Result<Evaluation>()>& work, std::uint64_t memory_bytes_max) {
  if (can_limit_memory && memory_bytes_max > 0) {
    const rlimit limit{memory_bytes_max, memory_bytes_max};
    setrlimit(RLIMIT_DATA, &limit);
  }
  Json answer;
  try {
    auto seen = work();
    if (seen) {
      answer["ok"] = to_json(*seen);
    } else {
      answer["error"] = {
          {"code", int(seen.error().code)}, {"context", seen.error().context}, {"reason", seen.error().reason}};
    }
  } catch (const std::bad_alloc&) {
    answer["error"] = {{"code", int(Errc::gate_failed)}, {"context", "out of memory"}, {"reason", "trial.memory"}};
  }
  const std::string text = dump_json(answer);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(out, text.data() + written, text.size() - written);
    if (n < 0 && errno != EINTR) _exit(4);
    if (n > 0) written += std::size_t(n);
  }
  _exit(0);
}

// What the process holds now; 0 when it is gone.
std::uint64_t resident_bytes(pid_t process) {
  std::ifstream statm("/proc/" + std::to_string(process) + "/statm");
  std::uint64_t size_pages = 0, resident_pages = 0;
  statm >> size_pages >> resident_pages;
  return statm ? resident_pages * std::uint64_t(sysconf(_SC_PAGESIZE)) : 0;
}

// Reads to the end, or says that the child hangs or holds more memory than it may. RLIMIT_DATA stops most models
// before; what is looked at here it does not count (shared mappings), or cannot be set (under a sanitizer).
Result<std::string> read_answer(int in, pid_t child, std::uint64_t memory_bytes_max, std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::string text;
  char piece[65536];
  for (;;) {
    pollfd wait{in, POLLIN, 0};
    const int ready = poll(&wait, 1, watch_interval_ms);
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{Errc::gate_failed, "no answer within " + std::to_string(limit.count()) + " s", "trial.hang"};
    if (memory_bytes_max > 0 && resident_bytes(child) > memory_bytes_max)
      return Error{Errc::gate_failed,
                   "more memory than the limit of " + std::to_string(memory_bytes_max >> 20) + " MiB", "trial.memory"};
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t n = read(in, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(piece, std::size_t(n));
    if (text.size() > answer_bytes_max) return Error{Errc::internal, "the evaluation's answer is larger than 128 MiB"};
  }
}

void end(pid_t child) {
  kill(child, SIGKILL);
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// The wait status of a child that has answered, or closed its pipe, and so should be gone.
Result<int> end_of(pid_t child) {
  for (int check = 0; check < end_checks_max; ++check) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return status;
    poll(nullptr, 0, check == 0 ? 1 : watch_interval_ms);
  }
  end(child);
  return Error{Errc::gate_failed, "the process that ran the model did not end", "trial.hang"};
}

Error error_from_death(int status) {
  if (WIFSIGNALED(status)) {
    return {Errc::gate_failed, std::string("the model killed its process: ") + strsignal(WTERMSIG(status)),
            WTERMSIG(status) == SIGKILL ? "trial.memory" : "trial.crash"};
  }
  return {Errc::gate_failed, "the process that ran the model ended with " + std::to_string(WEXITSTATUS(status)),
          "trial.crash"};
}

Result<Evaluation> read_evaluation(const std::string& text, int status) {
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return error_from_death(status);
  TRY(const Json answer, parse_json(text, {.bytes_max = answer_bytes_max}));
  if (answer.contains("ok")) return evaluation_from_json(answer["ok"]);
  TRY(const Json* error, object_at(answer, "error"));
  TRY(const std::int64_t code, integer_at(*error, "code", 0, int(Errc::internal)));
  TRY(std::string context, string_at(*error, "context", text_bytes_max));
  TRY(std::string reason, string_at(*error, "reason"));
  return Error{Errc(code), std::move(context), std::move(reason)};
}

}  // namespace

Result<Evaluation> evaluate_in_child(const Path& runtime_library, std::string_view model, const BaselineModel* baseline,
                                     const ota::Manifest& manifest, const Dataset& dataset, const EvaluationPlan& plan,
                                     std::uint64_t memory_bytes_max, std::chrono::seconds time_limit) {
  int ends[2];
  if (pipe(ends) != 0) return errno_error("pipe", "gate");
  FileDescriptor in(ends[0]), out(ends[1]);
  const pid_t child = fork();
  if (child < 0) return errno_error("fork", "gate");
  if (child == 0) {
    child_main(
        out.get(), [&] { return evaluate(runtime_library, model, baseline, manifest, dataset, plan); },
        memory_bytes_max);
  }
  out = FileDescriptor();
  auto text = read_answer(in.get(), child, memory_bytes_max, time_limit);
  if (!text) {
    end(child);
    return std::move(text).error();
  }
  TRY(const int status, end_of(child));
  return read_evaluation(*text, status);
}

namespace {

Json to_json(const Blocks& blocks) {
  Json document;
  document["latencies_us"] = blocks.latencies_us;
  document["medians_us"] = blocks.medians_us;
  document["baseline_medians_us"] = blocks.baseline_medians_us;
  document["settled"] = blocks.settled;
  document["seconds"] = blocks.seconds;
  return document;
}

Result<std::vector<double>> numbers_at(const Json& document, const char* key) {
  TRY(const Json* list, array_at(document, key, latencies_max));
  std::vector<double> numbers;
  numbers.reserve(list->size());
  for (const Json& value : *list) {
    if (!value.is_number()) return Error{Errc::bad_input, std::string(key) + ": expected numbers"};
    numbers.push_back(value.get<double>());
  }
  return numbers;
}

Result<Blocks> blocks_from_json(const Json& document) {
  Blocks blocks;
  TRY(blocks.latencies_us, numbers_at(document, "latencies_us"));
  TRY(blocks.medians_us, numbers_at(document, "medians_us"));
  TRY(blocks.baseline_medians_us, numbers_at(document, "baseline_medians_us"));
  TRY(blocks.settled, bool_at(document, "settled"));
  TRY(blocks.seconds, number_at(document, "seconds", 0));
  return blocks;
}

struct Count {
  const char* key;
  std::uint64_t Evaluation::*member;
};
constexpr Count counts[] = {{"model_bytes", &Evaluation::model_bytes},
                            {"scanned", &Evaluation::scanned},
                            {"with_nan", &Evaluation::with_nan},
                            {"with_infinity", &Evaluation::with_infinity},
                            {"memory_peak_bytes", &Evaluation::memory_peak_bytes},
                            {"golden_compared", &Evaluation::golden_compared}};

}  // namespace

Json to_json(const Evaluation& evaluation) {
  Json document;
  document["opset"] = evaluation.opset;
  document["runtime_name"] = evaluation.runtime_name;
  document["runtime_version"] = evaluation.runtime_version;
  document["contract_error"] = evaluation.contract_error;
  document["load_ms"] = evaluation.load_ms;
  document["correct"] = evaluation.correct;
  document["baseline_correct"] = evaluation.baseline_correct;
  document["latency"] = to_json(evaluation.latency);
  for (const Count& count : counts) document[count.key] = evaluation.*count.member;
  document["determinism_error"] = evaluation.determinism_error;
  document["golden_difference"] = evaluation.golden_difference;
  document["golden_error"] = evaluation.golden_error;
  document["golden"] = "";
  if (!evaluation.golden.empty()) {
    const auto golden = runtime::format_golden(evaluation.golden);
    if (golden)
      document["golden"] = to_base64(*golden);
    else if (evaluation.determinism_error.empty())  // no device could check what cannot be written
      document["determinism_error"] = golden.error().context;
  }
  document["reference"] = telemetry::print_reference_profile(evaluation.reference);
  return document;
}

Result<Evaluation> evaluation_from_json(const Json& document) {
  Evaluation seen;
  TRY(seen.opset, integer_at(document, "opset"));
  TRY(seen.runtime_name, string_at(document, "runtime_name"));
  TRY(seen.runtime_version, string_at(document, "runtime_version"));
  TRY(seen.contract_error, string_at(document, "contract_error", text_bytes_max));
  TRY(seen.load_ms, number_at(document, "load_ms", 0));
  TRY(seen.correct, string_at(document, "correct", answer_bytes_max));
  TRY(seen.baseline_correct, string_at(document, "baseline_correct", answer_bytes_max));
  TRY(const Json* latency, object_at(document, "latency"));
  TRY(seen.latency, blocks_from_json(*latency));
  for (const Count& count : counts) {
    TRY(const std::int64_t value, integer_at(document, count.key, 0));
    seen.*count.member = std::uint64_t(value);
  }
  TRY(seen.determinism_error, string_at(document, "determinism_error", text_bytes_max));
  TRY(seen.golden_difference, number_at(document, "golden_difference", 0));
  TRY(seen.golden_error, string_at(document, "golden_error", text_bytes_max));
  TRY(const std::string golden, string_at(document, "golden", answer_bytes_max));
  if (!golden.empty()) {
    TRY(const std::string bytes, from_base64(golden));
    TRY(seen.golden, runtime::parse_golden(bytes));
  }
  TRY(const std::string reference, string_at(document, "reference", telemetry::reference_bytes_max));
  TRY(seen.reference, telemetry::parse_reference_profile(reference));
  return seen;
}

}  // namespace ferry::ci_gates
