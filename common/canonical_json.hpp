// OLPC canonical JSON: what TUF signs (TUF 1.0.34 §4.2). Not RFC 8785; the result need not be valid JSON.
#pragma once
#include "common/json.hpp"

namespace ferry {

// Keys sorted by bytes, no blanks, only '\\' and '"' escaped, integers in decimal. A float: bad_input.
Result<std::string> canonical_json(const Json& value);

}  // namespace ferry
