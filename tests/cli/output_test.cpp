#include "cli/output.hpp"

#include <nlohmann/json.hpp>
#include <sstream>

using namespace ferry;
using namespace ferry::cli;

TEST_CASE("a cell shows any value in one line, for a person") {
  const Json object = Json::parse(R"({
    "text": "x", "empty": "", "none": null, "yes": true, "no": false, "number": 3, "share": 0.5,
    "labels": {"kind": "camera", "site": "oslo"}, "counts": {"committed": 2, "failed": 0, "waiting": 1}, "zeros": {"a": 0, "b": 0}, "unlabelled": {},
    "list": ["dev-1", "dev-2"], "nothing": [], "nested": {"inner": {"deep": "y"}}, "at_ms": 1764054765000,
    "never_ms": 0, "odd_ms": "soon", "far_ms": 9223372036854775807, "before_ms": -1})");
  const std::pair<const char*, const char*> expected[] = {{"text", "x"},
                                                          {"empty", "-"},
                                                          {"none", "-"},
                                                          {"absent", "-"},
                                                          {"yes", "yes"},
                                                          {"no", "no"},
                                                          {"number", "3"},
                                                          {"share", "0.5"},
                                                          {"labels", "kind=camera site=oslo"},
                                                          {"counts", "committed=2 waiting=1"},
                                                          {"list", "dev-1, dev-2"},
                                                          {"nothing", "-"},
                                                          {"zeros", "all 0"},
                                                          {"unlabelled", "-"},
                                                          {"nested.inner.deep", "y"},
                                                          {"text.inner", "-"},
                                                          {"at_ms", "2025-11-25T07:12:45Z"},
                                                          {"never_ms", "-"},
                                                          {"odd_ms", "soon"},
                                                          {"far_ms", "9223372036854775807"},
                                                          {"before_ms", "-1"}};
  for (const auto& [field, text] : expected) {
    INFO(field);
    CHECK(cell(object, field) == text);
  }
}

TEST_CASE("a long cell is cut between characters") {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "\xc3\xbc";  // ü
  const std::string shown = cell(Json{{"x", text}}, "x");
  CHECK(shown.size() <= 240);
  CHECK(shown.ends_with("\xbc..."));
}

TEST_CASE("columns are as wide as what a terminal shows of them") {
  std::ostringstream out;
  print_table(out, Json::parse(R"([{"a": "\u00fcber", "b": 1}, {"a": "x", "b": 22}])"), {{"NAME", "a"}, {"N", "b"}});
  CHECK(out.str() ==
        "NAME  N\n\xc3\xbc"
        "ber  1\nx     22\n");
}

TEST_CASE("an empty list is a table without rows, an empty section is nothing") {
  std::ostringstream out;
  print_section(out, "failures", Json{{"failures", Json::array()}}, "failures", {{"REASON", "reason"}});
  print_section(out, "failures", Json::object(), "failures", {{"REASON", "reason"}});
  CHECK(out.str().empty());
  print_table(out, Json::array(), {{"A", "a"}, {"B", "b"}});
  CHECK(out.str() == "A  B\n");
}
