// `ferry bundle`: what pack writes, what it refuses, and whether verify sees a single changed bit.
#include "ota/manifest.hpp"
#include "tests/cli/workshop.hpp"

#include <set>

using namespace ferry;
using namespace ferry::test;

namespace {

struct Packing {
  TempDir folder;
  Environment none;
  Path out() const { return folder / "out"; }
  Ran pack(const std::string& file, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"bundle", "pack", "-f", file, "-d", out().string()};
    if (more.empty()) more = {"--version", "1.0.0", "--counter", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::ferry(arguments);
  }
  // bundle.toml with the example's own text changed, beside two small model files.
  Ran pack_changed(std::string_view what, std::string_view with) {
    write_text(folder / "bundle.toml", replaced(read_text(example_folder / "bundle.toml"), what, with));
    REQUIRE(make_directories(folder / "models" / "1.0.0"));
    write_text(folder / "models" / "1.0.0" / "fp32.onnx", "one");
    write_text(folder / "models" / "1.0.0" / "int8.onnx", "two");
    return pack((folder / "bundle.toml").string());
  }
};

std::string example() { return (example_folder / "bundle.toml").string(); }

}  // namespace

TEST_CASE("the example packs into a draft that everybody can read, each file under its digest") {
  Packing packing;
  const Ran ran = packing.pack(example(), {"--version", "1.1.0", "--counter", "2", "-o", "json"});
  REQUIRE(ran.code == 0);
  CHECK(contains(ran.err, "packed fashion-mnist@1.1.0 with 2 variant(s)"));
  CHECK(contains(ran.err, "next: ferry gate run"));
  CHECK(ran.out == read_text(packing.out() / "manifest.json") + "\n");
  const auto manifest = ota::parse_manifest(read_text(packing.out() / "manifest.json"));
  REQUIRE(manifest);
  CHECK(manifest->draft);
  CHECK(manifest->version == "1.1.0");
  CHECK(manifest->counter == 2);
  CHECK(manifest->created == SimClock().now());
  CHECK(!ota::require_frozen(*manifest));
  REQUIRE(manifest->blobs().size() == 2);
  for (const ota::Variant& variant : manifest->variants) {
    const std::string model = read_text(example_folder / "models/1.1.0" / (variant.name + ".onnx"));
    CHECK(variant.file.sha256 == sha256(model));
    CHECK(variant.file.length_bytes == model.size());
    CHECK(read_text(packing.out() / "blobs/sha256" / variant.file.sha256.hex()) == model);
  }
}

TEST_CASE("packing again replaces the draft and takes away the report about the older one") {
  Packing packing;
  Workshop::shared().gated("1.1.0", packing.out());
  REQUIRE(std::filesystem::exists(packing.out() / "attestations.intoto.jsonl"));
  REQUIRE(packing.pack(example()).code == 0);
  CHECK(!std::filesystem::exists(packing.out() / "attestations.intoto.jsonl"));
  CHECK(ota::parse_manifest(read_text(packing.out() / "manifest.json"))->version == "1.0.0");
}

TEST_CASE("a wrong version or counter is refused before anything is read") {
  Packing packing;
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--version", "1.0", "--counter", "1"},
                                               {"--version", "1.0.0+build", "--counter", "1"},
                                               {"--version", "../1.0.0", "--counter", "1"},
                                               {"--version", "1.0.0", "--counter", "0"},
                                               {"--version", "1.0.0", "--counter", "9007199254740993"},
                                               {"--version", "1.0.0", "--counter", "one"},
                                               {"--version", "1.0.0"},
                                               {"--counter", "1"}}) {
    const Ran ran = packing.pack(example(), more);
    INFO(more.back() << ": " << ran.err);
    CHECK(ran.code == 2);
  }
  CHECK(!std::filesystem::exists(packing.out()));
}

TEST_CASE("a bundle.toml that cannot be a release is refused by field, and nothing is written") {
  const std::tuple<const char*, const char*, const char*> cases[] = {
      {"golden_tolerance = 0.01", "golden_tolerence = 0.01", "did you mean 'golden_tolerance'"},
      {"name = \"int8\"", "name = \"fp32\"", "variants"},
      {"name = \"int8\"", "name = \"INT 8\"", "variants"},
      {"shape = [-1, 10]", "shape = [-1, 0]", "shape"},
      {"shape = [-1, 10]", "shape = [-2, 10]", "shape"},
      {"datatype = \"FP32\"\nshape = [-1, 10]", "datatype = \"FLOAT\"\nshape = [-1, 10]", "datatype"},
      {"class_output = \"logits\"", "class_output = \"logit\"", "class_output"},
      {"task = \"classification\"", "task = \"guessing\"", "task"}};
  for (const auto& [what, with, said] : cases) {
    Packing packing;
    const Ran ran = packing.pack_changed(what, with);
    INFO(with << ": " << ran.err);
    CHECK(ran.code == 2);
    CHECK(contains(ran.err, "bundle.toml"));
    CHECK(contains(ran.err, said));
    CHECK(!std::filesystem::exists(packing.out()));
  }
}

TEST_CASE("a file that is not there is exit 3 and named with its variant") {
  Packing packing;
  const Ran missing = packing.pack_changed("int8.onnx", "int4.onnx");
  CHECK(missing.code == 3);
  CHECK(contains(missing.err, "[[variants]] 2 (int8)"));
  CHECK(contains(missing.err, "models/1.0.0/int4.onnx"));
  CHECK(!std::filesystem::exists(packing.out()));
  const Ran no_toml = packing.pack((packing.folder / "absent.toml").string());
  CHECK(no_toml.code == 3);
  CHECK(contains(no_toml.err, "absent.toml"));
}

TEST_CASE("a model file larger than 2 GiB is refused without being read") {
  Packing packing;
  REQUIRE(packing.pack_changed("t-shirt", "tee").code == 0);
  const Path model = packing.folder / "models" / "1.0.0" / "fp32.onnx";
  std::filesystem::resize_file(model, ota::file_bytes_max + 1);  // sparse: it takes no space
  const Ran ran = packing.pack((packing.folder / "bundle.toml").string());
  CHECK(ran.code == 2);
  CHECK(contains(ran.err, "fp32.onnx: larger than 2147483648 bytes"));
}

TEST_CASE("inspect shows a draft and what its gate measured, as a table and as the manifest itself") {
  Packing packing;
  REQUIRE(packing.pack(example()).code == 0);
  const Ran draft = test::ferry({"bundle", "inspect", packing.out().string()});
  CHECK(draft.code == 0);
  CHECK(contains(draft.out, "fashion-mnist@1.0.0  counter 1  DRAFT (not gated)"));
  CHECK(contains(draft.out, "355498"));

  Workshop::shared().gated("1.1.0", packing.folder / "gated");
  const std::string gated = (packing.folder / "gated").string();
  const Ran frozen = test::ferry({"bundle", "inspect", gated});
  CHECK(contains(frozen.out, "frozen"));
  CHECK(contains(frozen.out, sha256(read_text(packing.folder / "gated" / "manifest.json")).hex()));
  CHECK(contains(frozen.out, " %"));
  CHECK(contains(frozen.out, " us"));
  CHECK(test::ferry({"bundle", "inspect", gated, "-o", "json"}).json()["version"] == "1.1.0");
}

TEST_CASE("verify accepts what the gate left and finds every changed, cut, and missing blob") {
  Packing packing;
  Workshop::shared().gated("1.1.0", packing.out());
  const std::string out = packing.out().string();
  const Ran whole = test::ferry({"bundle", "verify", out});
  REQUIRE(whole.code == 0);
  const auto manifest = ota::parse_manifest(read_text(packing.out() / "manifest.json"));
  REQUIRE(manifest);
  const auto blobs = manifest->blobs();
  CHECK(blobs.size() == 5);  // two models, two golden files, the reference profile
  CHECK(contains(whole.err, "5 blob(s) match"));
  for (const ota::BlobRef& blob : blobs) {
    const Path file = packing.out() / "blobs" / "sha256" / blob.sha256.hex();
    const std::string good = read_text(file);
    std::string changed = good;
    changed[changed.size() / 2] = char(changed[changed.size() / 2] ^ 1);
    for (const std::string& bad : {changed, good.substr(0, good.size() - 1), good + "x", std::string()}) {
      write_text(file, bad);
      const Ran ran = test::ferry({"bundle", "verify", out});
      CHECK(ran.code == 10);
      CHECK(contains(ran.err, blob.sha256.hex()));
      CHECK(contains(ran.err, blob.name));
    }
    std::filesystem::remove(file);
    const Ran missing = test::ferry({"bundle", "verify", out});
    CHECK(missing.code == 3);
    CHECK(contains(missing.err, "blob of " + blob.name));
    write_text(file, good);
  }
  CHECK(test::ferry({"bundle", "verify", out}).code == 0);
}

TEST_CASE("a folder without a manifest, or with something else in its place, is said as such") {
  Packing packing;
  for (const char* verb : {"inspect", "verify"}) {
    const Ran none = test::ferry({"bundle", verb, packing.folder.path().string()});
    CHECK(none.code == 3);
    CHECK(contains(none.err, "ferry bundle pack"));
    const TempDir other;
    write_text(other / "manifest.json", "{\"format\": \"ferry.manifest/2\"}");
    const Ran wrong = test::ferry({"bundle", verb, other.path().string()});
    INFO(wrong.err);
    CHECK(wrong.code == 2);
    CHECK(contains(wrong.err, "manifest.json"));
    write_text(other / "manifest.json", std::string(ota::manifest_bytes_max + 1, ' '));
    CHECK(test::ferry({"bundle", verb, other.path().string()}).code == 2);
  }
}
