// Telemetry of one release as a database value: the OTLP form, whose codec is there and tested.
#pragma once
#include "common/database.hpp"
#include "telemetry/window.hpp"

#include <string>

namespace ferry::server {

// Slot, rollout and arm are left out: a stored window is of a release. What several uploads add up to may be more than
// one may hold: error types beyond the limit become "other"; bad_input when it could not be read again (one such row
// would take everybody's telemetry, or the next start, with it).
Result<Blob> pack_window(const telemetry::ReleaseWindow& window);
// internal when the bytes hold anything but one release.
Result<telemetry::ReleaseWindow> unpack_window(const std::string& bytes);
// Empty bytes: an empty window.
Result<telemetry::ReleaseWindow> unpack_window_or_empty(const std::string& bytes);

}  // namespace ferry::server
