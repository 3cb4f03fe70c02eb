// What Ferry adds to one inference: bare ONNX Runtime, Ferry's engine in process, and the agent's Unix socket, in turns
// of one run (A B C A B C …), on the same model file and images. Prints one JSON document.
#include "runtime/engine.hpp"
#include "tests/bench/bare_onnx.hpp"
#include "tests/bench/inference_client.hpp"
#include "tests/bench/support.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

constexpr std::size_t classes = 10;
constexpr float same_score = 1e-4F;  // both ways run the same kernels; anything else is another model
constexpr std::size_t model_bytes_max = 64 * 1024 * 1024;

struct Options {
  std::string socket, model = "fashion-mnist", model_file, library, images;
  int rounds = 20, per_round = 100, threads = 1;
};

using Watch = std::chrono::steady_clock;
double microseconds(Watch::duration took) { return std::chrono::duration<double, std::micro>(took).count(); }

// Three ways to ask the same question; each leaves the scores in `scores`.
struct Ways {
  std::unique_ptr<BareModel> bare;
  std::unique_ptr<runtime::Engine> engine;
  std::unique_ptr<runtime::Session> session;
  InferenceClient client;
  std::vector<std::string> images;
  std::vector<std::string> requests;
  std::vector<float> scores = std::vector<float>(classes);
  Reply reply;

  Result<> ask_bare(std::size_t at) { return bare->run(images[at], scores); }
  Result<> ask_session(std::size_t at) {
    const runtime::TensorView image{"image", runtime::DataType::fp32, {1, 1, 28, 28}, images[at]};
    const std::string output = "logits";
    TRY(const auto outputs, session->run(std::span(&image, 1), std::span(&output, 1)));
    std::memcpy(scores.data(), outputs.at(0).bytes.data(), classes * sizeof(float));
    return {};
  }
  Result<> ask_api(std::size_t at) { return client.exchange(requests[at], reply); }
};

Result<Ways> open_ways(const Options& options) {
  TRY(auto client, InferenceClient::connect(options.socket));
  TRY(const std::string model, read_file(options.model_file, model_bytes_max));
  TRY(auto images, read_images(options.images, static_cast<std::size_t>(options.per_round)));
  TRY(auto bare, BareModel::open(options.library, model, options.threads));
  TRY(auto engine, runtime::open_onnx_engine(options.library));
  TRY(auto session, engine->load(model, runtime::SessionOptions{options.threads}));
  Ways ways{std::move(bare), std::move(engine), std::move(session), std::move(client), std::move(images), {}};
  for (const std::string& image : ways.images) ways.requests.push_back(inference_request(options.model, image));
  return ways;
}

// A quick wrong answer is no answer: all three must agree on every image.
Result<> check_agreement(Ways& ways) {
  for (std::size_t at = 0; at < ways.images.size(); ++at) {
    TRY_VOID(ways.ask_bare(at));
    const std::vector<float> expected = ways.scores;
    TRY_VOID(ways.ask_session(at));
    TRY_VOID(ways.ask_api(at));
    TRY(const std::vector<float> answered, scores_of(ways.reply));
    for (std::size_t k = 0; k < classes; ++k) {
      if (answered.size() == classes && std::fabs(answered[k] - expected[k]) <= same_score &&
          std::fabs(ways.scores[k] - expected[k]) <= same_score)
        continue;
      return Error{Errc::internal, "image " + std::to_string(at) + ": the local API and bare ONNX Runtime disagree"};
    }
  }
  return {};
}

using Ask = Result<> (Ways::*)(std::size_t);

Result<std::vector<double>> time_block(Ways& ways, Ask ask) {
  std::vector<double> took_us;
  took_us.reserve(ways.images.size());
  for (std::size_t at = 0; at < ways.images.size(); ++at) {
    const auto started = Watch::now();
    TRY_VOID((ways.*ask)(at));
    took_us.push_back(microseconds(Watch::now() - started));
    if (ask == &Ways::ask_api && ways.reply.status != 200)
      return Error{Errc::internal, "inference: status " + std::to_string(ways.reply.status)};
  }
  return took_us;
}

Result<Json> measure(const Options& options) {
  TRY(Ways ways, open_ways(options));
  TRY_VOID(check_agreement(ways));
  std::vector<double> bare_us, session_us, api_us, api_p99_us, added_us, wrapper_us;
  for (int round = 0; round < options.rounds; ++round) {
    TRY(const auto bare, time_block(ways, &Ways::ask_bare));
    TRY(const auto session, time_block(ways, &Ways::ask_session));
    TRY(const auto api, time_block(ways, &Ways::ask_api));
    bare_us.push_back(percentile(bare, 0.5));
    session_us.push_back(percentile(session, 0.5));
    api_us.push_back(percentile(api, 0.5));
    api_p99_us.push_back(percentile(api, 0.99));
    added_us.push_back(api_us.back() - bare_us.back());
    wrapper_us.push_back(session_us.back() - bare_us.back());
  }
  Json result = Json::object();
  result["rounds"] = options.rounds;
  result["requests_per_round"] = options.per_round;
  result["bare_us"] = spread(bare_us);
  result["session_us"] = spread(session_us);
  result["api_us"] = spread(api_us);
  result["api_p99_us"] = spread(api_p99_us);
  result["added_us"] = spread(added_us);
  result["session_added_us"] = spread(wrapper_us);
  return result;
}

}  // namespace
}  // namespace ferry::bench

int main(int argc, char** argv) {
  using namespace ferry;
  bench::Options options;
  CLI::App app{"Latency of the local inference API beside bare ONNX Runtime"};
  app.add_option("--socket", options.socket, "The agent's run/infer.sock")->required();
  app.add_option("--model", options.model, "The model's name");
  app.add_option("--model-file", options.model_file, "The same model.onnx that the agent serves")->required();
  app.add_option("--runtime-library", options.library, "libonnxruntime.so")->required();
  app.add_option("--images", options.images, "Gzipped IDX file of test images")->required();
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--per-round", options.per_round)->check(CLI::Range(1, 10'000));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  return bench::finish(bench::measure(options));
}
