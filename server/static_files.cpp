// Loads a directory; answers with the security headers of UX.md §2.3.
#include "server/static_files.hpp"

#include "common/crypto.hpp"

namespace ferry::server {
namespace {

constexpr std::string_view content_security_policy =
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; object-src "
    "'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
constexpr std::string_view no_dashboard =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Ferry</title></head><body><h1>Ferry</h1>"
    "<p>The server runs; its dashboard is not installed. Build <code>web/</code> and start ferryd with "
    "<code>--ui-dir web/dist</code>.</p></body></html>\n";

std::string content_type_of(const Path& path) {
  static const std::map<std::string, std::string> types{{".html", "text/html; charset=utf-8"},
                                                        {".js", "text/javascript; charset=utf-8"},
                                                        {".css", "text/css; charset=utf-8"},
                                                        {".svg", "image/svg+xml"},
                                                        {".png", "image/png"},
                                                        {".ico", "image/x-icon"},
                                                        {".json", "application/json"},
                                                        {".txt", "text/plain; charset=utf-8"},
                                                        {".webmanifest", "application/manifest+json"},
                                                        {".map", "application/json"}};
  const auto found = types.find(path.extension().string());
  return found == types.end() ? "application/octet-stream" : found->second;
}

void secure(http::Response& response) {
  response.headers["Content-Security-Policy"] = content_security_policy;
  response.headers["X-Content-Type-Options"] = "nosniff";
  response.headers["Referrer-Policy"] = "no-referrer";
  response.headers["Cross-Origin-Opener-Policy"] = "same-origin";
  response.headers["Cross-Origin-Resource-Policy"] = "same-origin";
}

bool reserved(std::string_view path) {
  for (std::string_view prefix : {"/api/", "/device/", "/.well-known/", "/v1/"})
    if (path.starts_with(prefix) || path == prefix.substr(0, prefix.size() - 1)) return true;
  return false;
}

}  // namespace

Result<StaticFiles> StaticFiles::load(const Path& directory) {
  StaticFiles files;
  std::error_code error;
  if (directory.empty() || !std::filesystem::is_directory(directory, error)) return files;
  std::size_t bytes_total = 0;
  for (std::filesystem::recursive_directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    if (!at->is_regular_file(error)) continue;
    TRY(std::string bytes, read_file(at->path(), ui_bytes_max));
    bytes_total += bytes.size();
    if (bytes_total > ui_bytes_max || files.files_.size() >= ui_files_max)
      return Error{Errc::bad_input, directory.string() + ": more than " + std::to_string(ui_files_max) + " files or " +
                                        std::to_string(ui_bytes_max) + " bytes; is this the built dashboard?"};
    File file;
    file.etag = "\"" + sha256(bytes).hex().substr(0, 32) + "\"";
    file.bytes = std::make_shared<const std::string>(std::move(bytes));
    file.content_type = content_type_of(at->path());
    const std::string name = at->path().lexically_relative(directory).generic_string();
    file.immutable = name.starts_with("assets/");  // Vite puts what it names by hash there
    files.files_[name] = std::move(file);
  }
  if (error) return Error{Errc::io, directory.string() + ": " + error.message()};
  for (auto& [name, file] : files.files_)
    if (const auto packed = files.files_.find(name + ".gz"); packed != files.files_.end())
      file.gzip = packed->second.bytes;
  return files;
}

http::Response StaticFiles::answer(const http::Request& request) const {
  if (reserved(request.path)) return http::problem(404, "not_found", request.path.substr(0, 200) + ": no such address");
  auto found = files_.find(std::string_view(request.path).substr(1));
  if (found == files_.end()) {
    // An asset that is gone is an error; anything else is an address inside the dashboard.
    if (request.path.starts_with("/assets/")) return http::problem(404, "not_found", "no such file");
    found = files_.find("index.html");
  }
  if (found == files_.end()) {
    http::Response page = http::text_response(std::string(no_dashboard), "text/html; charset=utf-8");
    secure(page);
    return page;
  }
  const File& file = found->second;
  const bool packed = file.gzip && request.header("accept-encoding").find("gzip") != std::string_view::npos;
  // Strong, so one for each form of the bytes.
  const std::string etag = packed ? file.etag.substr(0, file.etag.size() - 1) + "-gz\"" : file.etag;
  http::Response response;
  secure(response);
  response.headers["ETag"] = etag;
  response.headers["Cache-Control"] = file.immutable ? "public, max-age=31536000, immutable" : "no-cache";
  response.headers["Vary"] = "Accept-Encoding";
  if (http::etag_matches(request.header("if-none-match"), etag)) {
    response.status = 304;
    return response;
  }
  response.headers["Content-Type"] = file.content_type;
  response.shared_body = file.bytes;
  if (packed) {
    response.headers["Content-Encoding"] = "gzip";
    response.shared_body = file.gzip;
  }
  return response;
}

}  // namespace ferry::server
