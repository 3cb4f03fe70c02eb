// Names of error codes, and what value() does with an error.
#include "common/result.hpp"

#include <stdexcept>

namespace ferry {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::bad_input:
      return "bad_input";
    case Errc::not_found:
      return "not_found";
    case Errc::conflict:
      return "conflict";
    case Errc::denied:
      return "denied";
    case Errc::bad_signature:
      return "bad_signature";
    case Errc::expired:
      return "expired";
    case Errc::rollback_refused:
      return "rollback_refused";
    case Errc::gate_failed:
      return "gate_failed";
    case Errc::gate_hold:
      return "gate_hold";
    case Errc::timeout:
      return "timeout";
    case Errc::cancelled:
      return "cancelled";
    case Errc::unreachable:
      return "unreachable";
    case Errc::unavailable:
      return "unavailable";
    case Errc::no_space:
      return "no_space";
    case Errc::io:
      return "io";
    case Errc::unsupported:
      return "unsupported";
    case Errc::internal:
      return "internal";
  }
  return "internal";
}

void throw_exception_from_error(const Error& error, const boost::source_location& location) {
  throw std::logic_error(std::string(location.file_name()) + ": value() of an error: " + error.context);
}

}  // namespace ferry
