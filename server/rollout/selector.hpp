// Which devices a rollout is for: "*", or "label.site=oslo,label.kind=camera" (all must match).
#pragma once
#include "common/result.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ferry::server {

using Labels = std::map<std::string, std::string>;

inline constexpr std::size_t label_key_bytes_max = 63;
inline constexpr std::size_t label_value_bytes_max = 128;
inline constexpr std::size_t labels_per_device_max = 32;
inline constexpr std::size_t selector_bytes_max = 2048;
inline constexpr std::size_t selector_terms_max = 16;

// [a-z0-9][a-z0-9._-]{0,62} and printable values without ',' and '='.
Result<> check_label(std::string_view key, std::string_view value);

class Selector {
 public:
  static Result<Selector> parse(std::string_view text);
  const std::string& text() const { return text_; }
  bool matches(const Labels& labels) const;
  bool everything() const { return terms_.empty(); }
  bool operator==(const Selector& other) const { return text_ == other.text_; }

 private:
  std::string text_ = "*";
  std::vector<std::pair<std::string, std::string>> terms_;
};

}  // namespace ferry::server
