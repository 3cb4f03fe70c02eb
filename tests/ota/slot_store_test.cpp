// The slot store on a real disk: damaged copies, installs cut anywhere, read-back, rebuilding.
#include "ota/slot_store.hpp"

#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <fstream>

using namespace ferry;
using namespace ferry::ota;
using ferry::test::SimClock;
using ferry::test::TempDir;

namespace {

struct World {
  TempDir directory;
  SimClock clock;
  int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  Log log{clock, null, LogFormat::text, LogLevel::error};
  World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World() { ::close(null); }

  SlotStore store() { return SlotStore(directory.path(), "fashion-mnist", log); }
  Path root() const { return directory.path() / "models" / "fashion-mnist"; }
};

struct Release {
  Manifest manifest;
  std::string bytes, model, golden, reference;
};

Release make_release(int counter) {
  Release made;
  made.model = "model " + std::to_string(counter) + std::string(5000, 'm');
  made.golden = "golden " + std::to_string(counter);
  made.reference = "reference " + std::to_string(counter);
  auto blob = [](std::string name, const std::string& bytes) {
    return BlobRef{std::move(name), sha256(bytes), bytes.size()};
  };
  Manifest& manifest = made.manifest;
  manifest.model = "fashion-mnist";
  manifest.version = "1." + std::to_string(counter) + ".0";
  manifest.counter = counter;
  manifest.created = from_unix_ms(1'700'000'000'000);
  manifest.contract.task = "classification";
  manifest.contract.labels = {"a", "b"};
  manifest.contract.class_output = "logits";
  manifest.contract.inputs = {{"image", "FP32", {-1, 4}}};
  manifest.contract.outputs = {{"logits", "FP32", {-1, 2}}};
  Variant variant;
  variant.name = "fp32";
  variant.precision = "fp32";
  variant.opset = 13;
  variant.file = blob("model.onnx", made.model);
  variant.golden = blob("golden.bin", made.golden);
  variant.golden_tolerance = 0.001;
  manifest.variants = {variant};
  manifest.reference_profile = blob("reference.json", made.reference);
  made.bytes = print_manifest(manifest);
  return made;
}

void put_downloads(const SlotStore& store, const Release& release) {
  REQUIRE(make_directories(store.download_directory()));
  for (const auto* bytes : {&release.model, &release.golden, &release.reference})
    REQUIRE(write_file_atomic(store.download_directory() / (sha256(*bytes).hex() + ".part"), *bytes));
}

SlotEntry entry_of(const Release& release) {
  SlotEntry entry;
  entry.version = release.manifest.version;
  entry.counter = release.manifest.counter;
  entry.manifest_sha256 = sha256(release.bytes);
  entry.variant = "fp32";
  return entry;
}

void flip_byte(const Path& path, std::streamoff at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(at);
  char byte = 0;
  file.get(byte);
  file.seekp(at);
  file.put(static_cast<char>(byte ^ 1));
}

}  // namespace

TEST_CASE("a fresh store is empty, and what is saved is read back by the next process") {
  World world;
  auto store = world.store();
  auto state = store.open();
  REQUIRE(state);
  CHECK_FALSE(store.rebuilt());
  CHECK_FALSE(state->active);
  for (int floor = 1; floor <= 5; ++floor) {
    state->floor = floor;
    REQUIRE(store.save(*state));
    auto again = world.store();
    auto read = again.open();
    REQUIRE(read);
    CHECK(*read == *state);
    CHECK(again.generation() == store.generation());
  }
}

TEST_CASE("either copy of the state may be damaged at any byte, cut or gone: the other one is read") {
  World world;
  auto store = world.store();
  SlotState before = *store.open();
  before.floor = 1;
  REQUIRE(store.save(before));
  SlotState after = before;
  after.floor = 2;
  REQUIRE(store.save(after));
  const Path newest = world.root() / ("state." + std::to_string(store.generation() % 2));
  const std::string good = *read_file(newest, 1 << 20);
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    REQUIRE(write_file_atomic(newest, damaged));
    INFO("byte " << at);
    auto read = world.store().open();
    REQUIRE(read);
    REQUIRE(read->floor == 1);
  }
  for (std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{64}, std::size_t{65}, good.size() - 1}) {
    REQUIRE(write_file_atomic(newest, good.substr(0, length)));
    CHECK(world.store().open()->floor == 1);
  }
  REQUIRE(remove_tree(newest));
  CHECK(world.store().open()->floor == 1);
  REQUIRE(write_file_atomic(newest, good));
  CHECK(world.store().open()->floor == 2);
}

TEST_CASE("an install is whole and verified, and is found again by digest") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  Release release = make_release(3);
  put_downloads(store, release);
  auto installed = store.install(SlotName::b, {release.bytes, "{}\n", "fp32"});
  REQUIRE(installed);
  CHECK(installed->manifest->version == "1.3.0");
  CHECK(*read_file(installed->directory / "model.onnx", 1 << 20) == release.model);
  CHECK(*read_file(installed->directory / "attestations.intoto.jsonl", 1 << 20) == "{}\n");
  CHECK(store.verify(SlotName::b, sha256(release.bytes), "fp32"));
  CHECK_FALSE(store.verify(SlotName::b, sha256("another"), "fp32"));
  CHECK_FALSE(store.verify(SlotName::b, sha256(release.bytes), "int8"));
  CHECK_FALSE(store.verify(SlotName::a, sha256(release.bytes), "fp32"));
  REQUIRE(store.erase(SlotName::b));
  CHECK_FALSE(std::filesystem::exists(installed->directory));
}

TEST_CASE("one flipped byte in any file of a slot is found and named") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  Release release = make_release(1);
  put_downloads(store, release);
  auto installed = store.install(SlotName::a, {release.bytes, "{}\n", "fp32"});
  REQUIRE(installed);
  for (const char* name : {"model.onnx", "golden.bin", "reference.json", "manifest.json"}) {
    for (std::streamoff at : {0, 5}) {
      flip_byte(installed->directory / name, at);
      auto verified = store.verify(SlotName::a, sha256(release.bytes), "fp32");
      REQUIRE_FALSE(verified);
      CHECK(verified.error().reason == "slot.corrupt");
      CHECK_THAT(verified.error().context, Catch::Contains(name));
      flip_byte(installed->directory / name, at);
    }
  }
  CHECK(store.verify(SlotName::a, sha256(release.bytes), "fp32"));
}

TEST_CASE("a slot whose file became a link or a folder is not read") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  Release release = make_release(1);
  put_downloads(store, release);
  auto installed = store.install(SlotName::a, {release.bytes, "{}\n", "fp32"});
  REQUIRE(installed);
  Path file = installed->directory / "model.onnx";
  Path elsewhere = world.directory / "elsewhere";
  std::filesystem::rename(file, elsewhere);
  std::filesystem::create_symlink(elsewhere, file);
  CHECK_THAT(store.verify(SlotName::a, sha256(release.bytes), "fp32").error().context, Catch::Contains("regular file"));
}

TEST_CASE("an install without one of its blobs leaves nothing that could pass for a release") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  Release release = make_release(2);
  for (const auto* missing : {&release.model, &release.golden, &release.reference}) {
    put_downloads(store, release);
    REQUIRE(remove_tree(store.download_directory() / (sha256(*missing).hex() + ".part")));
    auto installed = store.install(SlotName::b, {release.bytes, "{}\n", "fp32"});
    REQUIRE_FALSE(installed);
    CHECK(installed.error().reason == "install.io");
    CHECK_FALSE(std::filesystem::exists(store.slot_directory(SlotName::b)));
  }
  SECTION("and a blob that is not what its name says is found by reading back") {
    put_downloads(store, release);
    REQUIRE(write_file_atomic(store.download_directory() / (sha256(release.golden).hex() + ".part"), "other"));
    auto installed = store.install(SlotName::b, {release.bytes, "{}\n", "fp32"});
    REQUIRE_FALSE(installed);
    CHECK(installed.error().reason == "slot.corrupt");
    CHECK_FALSE(std::filesystem::exists(store.slot_directory(SlotName::b)));
  }
}

TEST_CASE(
    "with both copies lost the verified slot with the highest counter becomes active, and nothing is a fallback") {
  World world;
  auto store = world.store();
  SlotState state = *store.open();
  Release old_release = make_release(4), new_release = make_release(5);
  put_downloads(store, old_release);
  REQUIRE(store.install(SlotName::a, {old_release.bytes, "{}\n", "fp32"}));
  put_downloads(store, new_release);
  REQUIRE(store.install(SlotName::b, {new_release.bytes, "{}\n", "fp32"}));
  state.a = entry_of(old_release);
  state.active = SlotName::a;
  REQUIRE(store.save(state));
  auto damage = [&] {
    for (const char* copy : {"state.0", "state.1"}) REQUIRE(write_file_atomic(world.root() / copy, "rotten\n{}"));
  };
  SECTION("both slots whole") {
    damage();
    auto again = world.store();
    auto rebuilt = again.open();
    REQUIRE(rebuilt);
    CHECK(again.rebuilt());
    CHECK(rebuilt->active == SlotName::b);
    CHECK(rebuilt->b->version == "1.5.0");
    CHECK_FALSE(rebuilt->a);
    CHECK(*world.store().open() == *rebuilt);  // it was written
  }
  SECTION("the newer slot rotten") {
    flip_byte(store.slot_directory(SlotName::b) / "model.onnx", 100);
    damage();
    auto rebuilt = world.store().open();
    REQUIRE(rebuilt);
    CHECK(rebuilt->active == SlotName::a);
    CHECK(rebuilt->a->version == "1.4.0");
  }
  SECTION("both slots rotten") {
    flip_byte(store.slot_directory(SlotName::a) / "model.onnx", 100);
    flip_byte(store.slot_directory(SlotName::b) / "golden.bin", 1);
    damage();
    auto rebuilt = world.store().open();
    REQUIRE(rebuilt);
    CHECK_FALSE(rebuilt->active);
  }
}

TEST_CASE("a state written by a newer agent is left alone") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  std::string body = R"({"format":"ferry.slot-state/2","generation":9})";
  std::string text = sha256(body).hex() + "\n" + body;
  REQUIRE(write_file_atomic(world.root() / "state.1", text));
  auto opened = world.store().open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code == Errc::unsupported);
  CHECK(*read_file(world.root() / "state.1", 1 << 20) == text);
}

TEST_CASE("a state that breaks an invariant is never written") {
  World world;
  auto store = world.store();
  SlotState state = *store.open();
  auto generation = store.generation();
  state.active = SlotName::a;
  auto saved = store.save(state);
  REQUIRE_FALSE(saved);
  CHECK(saved.error().code == Errc::internal);
  CHECK(store.generation() == generation);
}

TEST_CASE("more than is free is refused before anything is written") {
  World world;
  auto store = world.store();
  REQUIRE(store.open());
  CHECK(store.check_space(1));
  auto refused = store.check_space(std::uint64_t{1} << 60);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().reason == "install.no_space");
}

TEST_CASE("models on disk are listed by valid names only") {
  World world;
  for (const char* name : {"b-model", "a-model", "Bad Name", "..x"})
    REQUIRE(make_directories(world.directory / "models" / name));
  CHECK(*models_on_disk(world.directory.path()) == std::vector<std::string>{"a-model", "b-model"});
}
