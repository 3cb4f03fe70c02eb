#pragma once
#include "cmake/precompiled.hpp"
#include "common/result.hpp"

#include <catch2/catch.hpp>

namespace Catch {

// A failed REQUIRE(result) shows the error; Boost's operator<< would ask for one of every value and of Error.
template <class T>
struct StringMaker<ferry::Result<T>> {
  static std::string convert(const ferry::Result<T>& result) {
    if (result) return "a value";
    const ferry::Error error = result.error();
    return "error " + std::string(ferry::to_string(error.code)) + " [" + error.reason + "]: " + error.context;
  }
};

}  // namespace Catch
