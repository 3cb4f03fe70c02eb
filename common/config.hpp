// Configuration: TOML files, read as JSON values so that the field readers of json.hpp serve both.
#pragma once
#include "common/file.hpp"
#include "common/json.hpp"

namespace ferry {

// `name` appears in errors ("agent.toml:12:3: expected …"). Dates and times become RFC 3339 strings.
Result<Json> parse_toml(std::string_view text, std::string_view name);
Result<Json> read_toml(const Path& path, std::size_t bytes_max = 1024 * 1024);

}  // namespace ferry
