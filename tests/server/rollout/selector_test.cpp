#include "server/rollout/selector.hpp"

using namespace ferry;
using namespace ferry::server;

TEST_CASE("a star selects every device") {
  const auto all = Selector::parse("*");
  REQUIRE(all);
  CHECK(all->everything());
  CHECK(all->matches({}));
  CHECK(all->matches({{"site", "oslo"}}));
  CHECK(all->text() == "*");
}

TEST_CASE("all terms of a selector must match, exactly") {
  const auto selector = Selector::parse("label.site=oslo,label.kind=camera");
  REQUIRE(selector);
  CHECK_FALSE(selector->everything());
  CHECK(selector->matches({{"site", "oslo"}, {"kind", "camera"}}));
  CHECK(selector->matches({{"site", "oslo"}, {"kind", "camera"}, {"other", "x"}}));
  CHECK_FALSE(selector->matches({{"site", "oslo"}}));
  CHECK_FALSE(selector->matches({{"site", "Oslo"}, {"kind", "camera"}}));
  CHECK_FALSE(selector->matches({{"site", "oslo2"}, {"kind", "camera"}}));
  CHECK_FALSE(selector->matches({}));
  CHECK(selector->text() == "label.site=oslo,label.kind=camera");
  CHECK(Selector::parse("label.site=")->matches({{"site", ""}}));
  CHECK_FALSE(Selector::parse("label.a=1,label.a=2")->matches({{"a", "1"}}));
}

TEST_CASE("a malformed selector is refused with what was found") {
  for (const char* text :
       {"", "oslo", "site=oslo", "label.site", "label.=x", "label.Site=x", "label.site=oslo,", ",",
        "label.site=a,,label.b=c", "*,label.a=b", "label.a=b=c", "label.a=\n", " *", "label.a=b,*"}) {
    const auto parsed = Selector::parse(text);
    INFO(text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == Errc::bad_input);
    CHECK_THAT(parsed.error().context, Catch::StartsWith("selector: "));
  }
  std::string many = "label.a=b";
  for (std::size_t i = 1; i < selector_terms_max; ++i) many += ",label.a=b";
  CHECK(Selector::parse(many));
  CHECK_FALSE(Selector::parse(many + ",label.a=b"));
  CHECK_FALSE(Selector::parse("label.a=" + std::string(selector_bytes_max, 'x')));
}

TEST_CASE("labels have short plain names and printable values") {
  for (const char* key : {"a", "0", "site", "rack.unit_7-b"}) CHECK(check_label(key, "a value: æøå/7"));
  CHECK(check_label(std::string(63, 'k'), std::string(128, 'v')));
  CHECK_FALSE(check_label(std::string(64, 'k'), ""));
  CHECK_FALSE(check_label("k", std::string(129, 'v')));
  for (const char* key : {"", "Site", "-a", ".a", "_a", "a b", "a=b", "ø"}) CHECK_FALSE(check_label(key, "v"));
  for (const char* value : {"a,b", "a=b", "a\tb", "a\x7f", "\x01"}) {
    const auto checked = check_label("site", value);
    REQUIRE_FALSE(checked);
    CHECK_THAT(checked.error().context, Catch::Contains("label site: value"));
  }
}
