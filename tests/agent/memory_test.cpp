#include "agent/memory.hpp"

#include "common/crypto.hpp"
#include "common/file.hpp"

#include <map>
#include <sstream>
#include <stdexcept>
#include <typeinfo>
#include <vector>

using namespace ferry;

namespace {

// KiB resident of this process, by what is mapped: "code" (files, not writable), "heap" (the rest).
std::map<std::string, std::size_t> resident() {
  std::istringstream smaps(*read_file("/proc/self/smaps", 64 * 1024 * 1024));
  std::map<std::string, std::size_t> sums;
  std::string line, kind;
  while (std::getline(smaps, line)) {
    std::istringstream words(line);
    std::string first, second, offset, device, inode, file;
    words >> first >> second;
    if (first == "Rss:") sums[kind] += std::stoul(second);
    if (first.ends_with(':')) continue;
    words >> offset >> device >> inode >> file;
    kind = file.starts_with('/') && second[1] == '-' ? "code" : "heap";
  }
  return sums;
}

}  // namespace

TEST_CASE("code that ran once is unmapped, and runs again when it is wanted") {
  const Digest before_digest = sha256("the same");
  const auto before = resident()["code"];
  agent::give_back_memory();
  const auto after = resident()["code"];  // reading this brought some of it back
  CHECK(after < before);
  CHECK(sha256("the same") == before_digest);
}

TEST_CASE("constants that the loader relocated survive") {
  agent::give_back_memory();
  // Virtual calls, type information and exceptions all go through relocated tables.
  const std::vector<int> empty;
  CHECK_THROWS_AS(empty.at(1), std::out_of_range);
  CHECK(std::string(typeid(std::out_of_range).name()) == "St12out_of_range");
}
