// The kernel's generator for all that is secret, a Mersenne twister for all that must repeat.
#include "common/random.hpp"

#include "common/bytes.hpp"

#include <sys/random.h>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ferry {

std::uint64_t Random::next() {
  const std::string eight = bytes(sizeof(std::uint64_t));
  std::uint64_t value = 0;
  std::memcpy(&value, eight.data(), sizeof value);
  return value;
}

double Random::uniform() { return double(next() >> 11) * 0x1.0p-53; }

std::string Random::id(std::string_view prefix) { return std::string(prefix) + "-" + to_hex(bytes(6)); }

std::string SystemRandom::bytes(std::size_t count) {
  std::string made(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    const ssize_t got = getrandom(made.data() + have, count - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) std::abort();  // no randomness means no keys and no secrets: nothing safe can be done
    have += std::size_t(got);
  }
  return made;
}

std::string SeededRandom::bytes(std::size_t count) {
  std::string made;
  while (made.size() < count) {
    const std::uint64_t value = engine_();
    made.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  made.resize(count);
  return made;
}

}  // namespace ferry
