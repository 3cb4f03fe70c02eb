// A type for each meaning, so that swapped arguments do not compile.
#pragma once
#include <compare>
#include <string>

namespace ferry {

template <class Tag>
struct Id {
  Id() = default;
  explicit Id(std::string t) : text{std::move(t)} {}
  std::string text;
  auto operator<=>(const Id&) const = default;
};

using DeviceId = Id<struct DeviceTag>;
using RolloutId = Id<struct RolloutTag>;
using ModelName = Id<struct ModelTag>;

}  // namespace ferry
