// The dashboard's built files, read once at start and served from memory under a strict Content-Security-Policy.
#pragma once
#include "common/file.hpp"
#include "common/http/message.hpp"

namespace ferry::server {

inline constexpr std::size_t ui_bytes_max = 32 * 1024 * 1024;
inline constexpr std::size_t ui_files_max = 2000;

// Immutable after load(): thread-safe.
class StaticFiles {
 public:
  // An empty path, or one that is not there, serves a page which says so. Errors: io; bad_input when too large.
  static Result<StaticFiles> load(const Path& directory);
  bool empty() const { return files_.empty(); }
  // A file; index.html for a path that names none (the dashboard's own addresses). 404 below /api, /device,
  // /.well-known.
  http::Response answer(const http::Request& request) const;

 private:
  struct File {
    std::shared_ptr<const std::string> bytes;
    std::shared_ptr<const std::string> gzip;  // "<name>.gz" beside it; null: none
    std::string etag;
    std::string content_type;
    bool immutable = false;  // its name holds a hash of its content
  };
  std::map<std::string, File, std::less<>> files_;  // by path, "assets/index-B1x2.js"
};

}  // namespace ferry::server
