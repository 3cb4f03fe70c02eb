// What CI has before `ferry release publish`: keys, and example bundles packed and gated for real, each made once.
#pragma once
#include "common/crypto.hpp"
#include "tests/cli/command.hpp"

#include <map>

namespace ferry::test {

inline const Path example_folder = Path(FERRY_SOURCE_DIR) / "examples/fashion-mnist";
inline constexpr const char* runtime_library = FERRY_ONNXRUNTIME_LIBRARY;

inline std::string replaced(std::string text, std::string_view what, std::string_view with) {
  std::size_t at = text.find(what);
  if (at == std::string::npos) throw std::runtime_error("not found: " + std::string(what));
  for (; at != std::string::npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
  return text;
}

inline std::string read_text(const Path& file) {
  auto text = read_file(file, 16 * 1024 * 1024);
  if (!text) throw std::runtime_error(text.error().context);
  return *text;
}

inline void write_text(const Path& file, const std::string& text) {
  if (auto written = write_file_atomic(file, text); !written) throw std::runtime_error(written.error().context);
}

class Workshop {
 public:
  static Workshop& shared() {
    static Workshop made;
    return made;
  }
  Path keys() const { return folder_ / "keys"; }
  std::string key(const std::string& name) const { return (keys() / name).string(); }
  PublicKey online_snapshot() const { return snapshot_.public_key(); }
  const PrivateKey& snapshot() const { return snapshot_; }
  const PrivateKey& timestamp() const { return timestamp_; }
  std::string online_file() const { return (folder_ / "public.json").string(); }
  std::string bundle_file() const { return (folder_ / "bundle.toml").string(); }
  std::string policy() const { return (folder_ / "gate.toml").string(); }
  // The gate with too few inferences for any statement about p99: it holds.
  std::string holding_policy() const { return (folder_ / "hold.toml").string(); }

  static std::vector<std::string> gate_run(const Path& bundle, const std::string& policy, const std::string& key) {
    return {"gate", "run", bundle.string(), "--policy", policy, "--key", key, "--runtime-library", runtime_library};
  }
  // A copy, for the test to do with as it likes, of the example's release as its gate left it.
  void gated(const std::string& version, const Path& into, bool hold = false) {
    const std::string name = version + (hold ? "-hold" : "");
    const Path made = folder_ / name;
    if (!std::filesystem::exists(made)) {
      const Environment none;
      expect(0, test::ferry({"bundle", "pack", "-f", bundle_file(), "--version", version, "--counter", "2", "-d",
                             made.string()}));
      ran_[name] = test::ferry(gate_run(made, hold ? holding_policy() : policy(), key("gate.pem")));
    }
    std::filesystem::copy(made, into, std::filesystem::copy_options::recursive);
  }
  // What `gate run` said about it.
  const Ran& gate_said(const std::string& version, bool hold = false) {
    const TempDir unused;
    gated(version, unused / "b", hold);
    return ran_.at(version + (hold ? "-hold" : ""));
  }

 private:
  Workshop() {
    const Environment none;
    Json online;
    online["format"] = "ferry.online-keys/1";
    online["snapshot"] = snapshot_.public_key().pem();
    online["timestamp"] = timestamp_.public_key().pem();
    write_text(online_file(), online.dump());
    expect(0, test::ferry({"key", "init", "--online", online_file(), "--model", "fashion-mnist", "--model",
                           "keyword-spotter", "-d", keys().string()}));
    // The example as it is, but for limits that only a busy machine under a sanitizer would reach: latency and memory
    // are judged elsewhere. 1,000 images are enough: 1.1.0 has 92 % of them right and 1.2.0 has 77 %, the limit is 85
    // %.
    std::string bundle = read_text(example_folder / "bundle.toml");
    bundle = replaced(bundle, "models/{version}", (example_folder / "models/{version}").string());
    bundle = replaced(bundle, "latency_p99_us = 50000", "latency_p99_us = 60000000");
    bundle = replaced(bundle, "memory_mib = 512", "memory_mib = 4096");
    write_text(bundle_file(), bundle);
    std::string gate = read_text(example_folder / "gate.toml");
    gate = replaced(gate, "limit = 10000", "limit = 1000");
    gate = replaced(gate, "p99_us_max = 50000", "p99_us_max = 0");
    gate = replaced(gate, "peak_mib_max = 512", "peak_mib_max = 0");
    write_text(policy(), replaced(gate, "samples = 4000", "samples = 700"));
    write_text(holding_policy(), replaced(gate, "samples = 4000", "samples = 100"));
  }
  static void expect(int code, const Ran& ran) {
    if (ran.code != code) throw std::runtime_error("exit " + std::to_string(ran.code) + ": " + ran.err);
  }

  TempDir folder_;
  PrivateKey snapshot_ = *PrivateKey::generate(), timestamp_ = *PrivateKey::generate();
  std::map<std::string, Ran> ran_;
};

}  // namespace ferry::test
