// The error type and the two macros everything is written with.
#include "common/result.hpp"

#include <stdexcept>

using namespace ferry;

namespace {
Result<int> half(int number) {
  if (number % 2 != 0) return Error{Errc::bad_input, "odd"};
  return number / 2;
}
Result<> check(int number) {
  TRY_VOID([&]() -> Result<> {
    if (number < 0) return Error{Errc::denied, "negative", "some.reason"};
    return {};
  }());
  return {};
}
Result<std::string> quarter(int number) {
  TRY_VOID(check(number));
  TRY(const int once, half(number));
  TRY(const int twice, half(once));
  return std::to_string(twice);
}
}  // namespace

TEST_CASE("TRY binds values and returns the first error with its reason") {
  CHECK(quarter(8).value() == "2");
  CHECK(quarter(6).error().context == "odd");
  CHECK(quarter(-8).error().code == Errc::denied);
  CHECK(quarter(-8).error().reason == "some.reason");
}

TEST_CASE("an error says where it happened, outermost first") {
  CHECK(Error{Errc::io, "disk"}.within("read").within("boot").context == "boot: read: disk");
}

TEST_CASE("value() of an error is a bug and throws") { CHECK_THROWS_AS(half(1).value(), std::logic_error); }

TEST_CASE("every code has its own stable name") {
  std::map<std::string_view, int> names;
  for (int code = 0; code <= static_cast<int>(Errc::internal); ++code) ++names[to_string(static_cast<Errc>(code))];
  CHECK(names.size() == static_cast<std::size_t>(Errc::internal) + 1);
  CHECK(names.count("rollback_refused") == 1);
}
