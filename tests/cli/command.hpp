// Runs the command line in this process: what a shell would see of it.
#pragma once
#include "cli/cli.hpp"
#include "tests/support/sim_clock.hpp"
#include "tests/support/temp_dir.hpp"

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

namespace ferry::test {

struct Ran {
  int code;
  std::string out, err;
  Json json() const {  // what -o json printed
    auto parsed = parse_json(out);
    if (!parsed) throw std::runtime_error("no JSON: " + out + err);
    return *parsed;
  }
};

inline Ran ferry(const std::vector<std::string>& arguments, Clock& clock) {
  std::vector<const char*> argv{"ferry"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  SeededRandom random(7);
  const int code = cli::run(int(argv.size()), argv.data(), out, err, clock, random);
  return {code, out.str(), err.str()};
}

inline Ran ferry(const std::vector<std::string>& arguments) {
  SimClock clock;
  return ferry(arguments, clock);
}

// The environment variables that the CLI reads, unset for one test except for those given.
class Environment {
 public:
  Environment() : Environment(std::initializer_list<std::pair<const char*, std::string>>{}) {}
  Environment(std::initializer_list<std::pair<const char*, std::string>> set) {
    for (const char* name : {"FERRY_SERVER", "FERRY_TOKEN", "FERRY_TOKEN_FILE", "FERRY_CA_FILE", "FERRY_OUTPUT",
                             "FERRY_RUNTIME_LIBRARY", "GITHUB_ACTIONS", "GITHUB_SHA", "GITHUB_STEP_SUMMARY"}) {
      const char* value = std::getenv(name);
      before_.emplace_back(name, value ? std::optional<std::string>(value) : std::nullopt);
      ::unsetenv(name);
    }
    for (const auto& [name, value] : set) ::setenv(name, value.c_str(), 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value)
        ::setenv(name.c_str(), value->c_str(), 1);
      else
        ::unsetenv(name.c_str());
    }
  }

 private:
  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace ferry::test
