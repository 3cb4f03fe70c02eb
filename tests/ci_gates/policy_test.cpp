#include "ci_gates/policy.hpp"

using namespace ferry;
using ci_gates::parse_gate_policy;

namespace {

const std::string good = R"(
format = "ferry.gate/1"
[dataset]
name = "d"
images = "images.gz"
labels = "/abs/labels"
scale = 0.5
limit = 100
slices = "slices.gz"
training_sha256 = ["00000000000000000000000000000000000000000000000000000000000000ff"]
[accuracy]
top1_ppm_min = 850000
margin_ppm = 5000
[latency]
p99_us_max = 50000
samples = 800
margin = 0.2
seconds_max = 30
cores = [1]
[slices]
by_label = true
names = ["day", "night"]
top1_ppm_min = 700000
margin_ppm = 20000
required = ["night", "label-3"]
[load]
ms_max = 2000
[size]
kib_max = 4096
[memory]
peak_mib_max = 512
[golden]
samples = 8
)";

std::string replaced(std::string_view what, std::string_view with) {
  std::string text = good;
  text.replace(text.find(what), what.size(), with);
  return text;
}

std::string error_of(const std::string& text) {
  const auto policy = parse_gate_policy(text, "gate.toml");
  return policy ? "accepted" : policy.error().context;
}

}  // namespace

TEST_CASE("a gate policy is read whole, its files relative to its own folder") {
  const auto policy = parse_gate_policy(good, "/some/where/gate.toml");
  REQUIRE(policy);
  CHECK(policy->dataset.images == "/some/where/images.gz");
  CHECK(policy->dataset.labels == "/abs/labels");
  CHECK(policy->dataset.limit == 100);
  CHECK(policy->top1_ppm_min == 850'000);
  CHECK(policy->latency_samples == 800);
  CHECK(policy->latency_margin == 0.2);
  CHECK(policy->latency_seconds_max == 30);
  CHECK(policy->latency_cores == std::vector<int>{1});
  CHECK(policy->dataset.slices == "/some/where/slices.gz");
  CHECK(policy->training_digests.size() == 1);
  CHECK(policy->slices.by_label);
  CHECK(policy->slices.names == std::vector<std::string>{"day", "night"});
  CHECK(policy->slices.top1_ppm_min == 700'000);
  CHECK(policy->slices.margin_ppm == 20'000);
  CHECK(policy->slices.required == std::vector<std::string>{"night", "label-3"});
  CHECK(policy->load_ms_max == 2'000);
  CHECK(policy->size_kib_max == 4'096);
  CHECK(policy->digest == sha256(good));
}

TEST_CASE("what is wrong with a policy is said by file, section and field") {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"format = \"ferry.gate/1\"", "format = \"ferry.gate/9\"", "expected ferry.gate/1"},
      {"top1_ppm_min = 850000", "top1_ppm_min = 1000001", "top1_ppm_min"},
      {"top1_ppm_min = 850000", "top1_ppm_min = \"high\"", "top1_ppm_min"},
      {"top1_ppm_min = 850000", "", "top1_ppm_min"},
      {"top1_ppm_min = 850000", "top1_ppm_max = 850000\ntop1_ppm_min = 1", "did you mean 'top1_ppm_min'"},
      {"[memory]", "[memori]", "memori"},
      {"images = \"images.gz\"", "", "images"},
      {"limit = 100", "limit = 0", "limit"},
      {"samples = 8\n", "samples = 257\n", "samples"},
      {"margin = 0.2", "margin = -1.0", "margin"},
      {"seconds_max = 30", "seconds_max = 301", "seconds_max"},
      {"cores = [1]", "cores = [-1]", "cores"},
      {"cores = [1]", "cores = [\"one\"]", "cores"},
      {"names = [\"day\"", "names = [\"<b>\"", "slice '<b>'"},
      {"names = [\"day\"", "names = [\"a@b\"", "slice 'a@b'"},
      {"names = [\"day\"", "names = [\"night\"", "is there twice"},
      {"names = [\"day\"", "names = [\"label-1\"", "by_label"},
      {"names = [\"day\", \"night\"]", "", "names"},
      {"slices = \"slices.gz\"", "", "names"},
      {"required = [\"night\"", "required = [\"dusk\"", "no slice 'dusk'"},
      {"000000ff\"", "000000\"", "training_sha256"},
      {"margin_ppm = 20000", "margin_ppm = 0", "margin_ppm"},
      {"ms_max = 2000", "ms = 2000", "ms_max"},
  };
  for (const auto& [what, with, expected] : cases) {
    const std::string error = error_of(replaced(what, with));
    INFO(with << " gave: " << error);
    CHECK(error.find(expected) != std::string::npos);
    CHECK(error.find("gate.toml") != std::string::npos);
  }
}

TEST_CASE("what a policy may leave out has the defaults of the documentation") {
  const auto policy = parse_gate_policy(R"(
format = "ferry.gate/1"
[dataset]
name = "d"
images = "i"
labels = "l"
[accuracy]
top1_ppm_min = 1
[latency]
[memory]
[golden]
)",
                                        "gate.toml");
  REQUIRE(policy);
  CHECK(policy->latency_margin == 0.0443);
  CHECK(policy->latency_samples == 1'000);
  CHECK(policy->latency_seconds_max == 60);
  CHECK(policy->latency_cores.empty());
  CHECK(policy->accuracy_margin_ppm == 10'000);
  CHECK(!policy->slices.by_label);
  CHECK(policy->slices.margin_ppm == 30'000);
  CHECK(policy->dataset.slices.empty());
  CHECK(policy->training_digests.empty());
  CHECK(policy->load_ms_max == 0);
  CHECK(policy->size_kib_max == 0);
}

TEST_CASE("text that is not TOML is refused with its place") {
  CHECK(error_of("format = \n").find("gate.toml:1") != std::string::npos);
  CHECK(error_of("") != "accepted");
}
