// docs/cli.md names every command and every flag there is, and no other.
#include "tests/cli/workshop.hpp"

#include <regex>
#include <set>

using namespace ferry;
using namespace ferry::test;

namespace {

// The sub-commands that a --help lists.
std::vector<std::string> subcommands(const std::vector<std::string>& of) {
  std::vector<std::string> arguments = of;
  arguments.push_back("--help");
  const std::string help = test::ferry(arguments).out;
  std::vector<std::string> names;
  const std::size_t at = help.find("Subcommands:\n");
  if (at == std::string::npos) return names;
  std::istringstream lines(help.substr(at + 13));
  for (std::string line; std::getline(lines, line);) {
    if (line.size() > 2 && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

std::set<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it)
    found.insert((*it)[1].str());
  return found;
}

}  // namespace

TEST_CASE("the documentation has every command and flag, and none that does not exist") {
  const Environment none;
  const std::string text = read_text(Path(FERRY_SOURCE_DIR) / "docs/cli.md");
  std::set<std::string> documented;  // "rollout pause|resume" counts for both
  const std::regex command(R"(`ferry ([a-z]+) ([a-z|\\]+))");
  for (std::sregex_iterator it(text.begin(), text.end(), command), end; it != end; ++it) {
    std::istringstream verbs((*it)[2].str());
    for (std::string verb; std::getline(verbs, verb, '|');) {
      if (verb.ends_with('\\')) verb.pop_back();
      documented.insert((*it)[1].str() + " " + verb);
    }
  }
  std::set<std::string> commands, flags = all_matches(test::ferry({"--help"}).out, R"((--[a-z][a-z-]*))");
  for (const std::string& noun : subcommands({})) {
    for (const std::string& verb : subcommands({noun})) {
      commands.insert(noun + " " + verb);
      flags.merge(all_matches(test::ferry({noun, verb, "--help"}).out, R"((--[a-z][a-z-]*))"));
    }
  }
  CHECK(commands.size() >= 24);
  CHECK(documented == commands);
  const std::string ours = text.substr(0, text.find("## `ferry-tuf`"));
  const std::set<std::string> named = all_matches(ours, R"((--[a-z][a-z-]*))");
  for (const std::string& flag : flags) {
    INFO(flag);
    // -f stands for --file of bundle pack there.
    CHECK((named.count(flag) == 1 || flag == "--file"));
  }
  for (const std::string& flag : named) {
    INFO(flag);
    CHECK(flags.count(flag) == 1);
  }
}

TEST_CASE("the documentation has every exit code") {
  const std::string text = read_text(Path(FERRY_SOURCE_DIR) / "docs/cli.md");
  for (int code = 0; code <= cli::exit_unreachable; ++code) {
    const std::string row = std::to_string(code);
    INFO(row);
    CHECK((contains(text, "\n| " + row + " | ") || contains(text, "\n| **" + row + "** | ")));
  }
}

TEST_CASE("every kind of error has one of the exit codes") {
  const std::map<Errc, int> expected = {{Errc::bad_input, 2},
                                        {Errc::not_found, 3},
                                        {Errc::conflict, 5},
                                        {Errc::denied, 4},
                                        {Errc::bad_signature, 10},
                                        {Errc::expired, 10},
                                        {Errc::rollback_refused, 10},
                                        {Errc::gate_failed, 6},
                                        {Errc::gate_hold, 7},
                                        {Errc::timeout, 9},
                                        {Errc::cancelled, 1},
                                        {Errc::unreachable, 11},
                                        {Errc::unavailable, 11},
                                        {Errc::no_space, 1},
                                        {Errc::io, 1},
                                        {Errc::unsupported, 2},
                                        {Errc::internal, 1}};
  CHECK(expected.size() == std::size_t(Errc::internal) + 1);
  for (const auto& [code, exit] : expected) {
    INFO(to_string(code));
    CHECK(cli::exit_code_of(code) == exit);
  }
}
