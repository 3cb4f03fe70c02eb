// Chance comes in through an interface.
#pragma once
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace ferry {

// Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::string bytes(std::size_t count) = 0;
  std::uint64_t next();                     // uniform over 64 bits
  double uniform();                         // [0, 1)
  std::string id(std::string_view prefix);  // "<prefix>-<12 lower-case hex digits>"
};

// getrandom(2): fit for keys and secrets.
class SystemRandom final : public Random {
 public:
  std::string bytes(std::size_t count) override;
};

// Repeatable, for tests and simulation. Not thread-safe, never for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : engine_(seed) {}
  std::string bytes(std::size_t count) override;

 private:
  std::mt19937_64 engine_;
};

}  // namespace ferry
