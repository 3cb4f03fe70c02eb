// The server's schema, as numbered steps that are never edited once released.
#pragma once
#include "common/database.hpp"

#include <span>

namespace ferry::server {

std::span<const Migration> schema_migrations();

}  // namespace ferry::server
