// Errors are values: Result<T> holds a T or an Error; exceptions are bugs (docs/adr/0001).
#pragma once
#include <boost/system/result.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace ferry {

// What a caller may act on. A person reads Error::context.
enum class Errc {
  bad_input,  // malformed, out of range, too large, wrong type
  not_found,
  conflict,       // the state is not what the request assumed
  denied,         // not authenticated or not allowed
  bad_signature,  // signature, digest or chain of trust does not hold
  expired,
  rollback_refused,  // older than what is already trusted
  gate_failed,
  gate_hold,  // not enough evidence for a verdict
  timeout,
  cancelled,
  unreachable,  // network trouble: try again later
  unavailable,  // the other side said 429 or 503: try again later
  no_space,
  io,  // local disk or operating system
  unsupported,
  internal,  // a bug or a broken invariant
};

std::string_view to_string(Errc code);  // the snake_case name, stable: it appears in logs and in the API

struct Error {
  Errc code;
  std::string context;      // "where: what was found, what was expected, what to do"
  std::string reason = {};  // code from the failure taxonomy (docs/formats/reasons.md), when there is one

  Error within(std::string_view where) && {
    context.insert(0, std::string(where) + ": ");
    return std::move(*this);
  }
};

// Called by Result::value() on an error: a bug in the caller, so it throws std::logic_error.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& location);

template <class T = void>
struct [[nodiscard]] Result : boost::system::result<T, Error> {
  using boost::system::result<T, Error>::result;
};

}  // namespace ferry

#define FERRY_CONCAT_2(a, b) a##b
#define FERRY_CONCAT(a, b) FERRY_CONCAT_2(a, b)
#define FERRY_TRY_BIND(keyword, result, declaration, ...) \
  auto result = (__VA_ARGS__);                            \
  if (!result) keyword std::move(result).error();         \
  declaration = std::move(*result)

// TRY(int port, parse_port(text)): returns the error, or binds the value. CO_TRY is the same in a coroutine.
#define TRY(declaration, ...) FERRY_TRY_BIND(return, FERRY_CONCAT(try_result_, __COUNTER__), declaration, __VA_ARGS__)
#define CO_TRY(declaration, ...) \
  FERRY_TRY_BIND(co_return, FERRY_CONCAT(try_result_, __COUNTER__), declaration, __VA_ARGS__)
// For Result<void>: returns the error, or goes on. Named apart, so that one may stand inside another's lambda.
#define FERRY_TRY_VOID(keyword, result, ...) \
  if (auto result = (__VA_ARGS__); !result) keyword std::move(result).error()
#define TRY_VOID(...) FERRY_TRY_VOID(return, FERRY_CONCAT(try_void_, __COUNTER__), __VA_ARGS__)
#define CO_TRY_VOID(...) FERRY_TRY_VOID(co_return, FERRY_CONCAT(try_void_, __COUNTER__), __VA_ARGS__)
