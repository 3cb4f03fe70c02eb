// HTTP requests and responses as plain values: handlers know nothing of sockets, so tests call them directly.
#pragma once
#include "common/file.hpp"
#include "common/json.hpp"

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace ferry::http {

// The client certificate of a mutual-TLS connection, already verified against the listener's client CA.
struct Peer {
  std::string common_name;
  std::string fingerprint_hex;  // SHA-256 of the DER
  std::string key_digest_hex;   // SHA-256 of the SubjectPublicKeyInfo
  std::string serial_hex;
  std::int64_t not_after_unix_s = 0;
};

struct Request {
  std::string method;                          // upper case
  std::string path;                            // percent-decoded, without the query
  std::string raw_target;                      // as received
  std::map<std::string, std::string> query;    // percent-decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::map<std::string, std::string> params;   // "{id}" parts of the route, percent-decoded
  std::string body;
  Path body_file;  // for routes with body_directory (mode 0600); removed after the handler unless renamed
  std::shared_ptr<const Peer> peer;                                   // null: no client certificate
  std::string remote;                                                 // "127.0.0.1:4711", "unix"
  std::string_view header(const std::string& lower_case_name) const;  // empty when absent
};

struct FileRange {
  Path path;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t bytes_per_second_max = 0;  // 0: unlimited
};

struct Response {
  int status = 200;
  std::map<std::string, std::string> headers;  // Content-Length, Date and Connection are set by the server
  std::string body;
  std::shared_ptr<const std::string> shared_body;  // instead of body: one answer composed once for many
  std::optional<FileRange> file;                   // instead of body
  // Instead of body: chunked pieces until nullopt. An empty piece sends nothing. When the client goes away, or the
  // server stops, the coroutine's pending wait is cancelled (it throws boost::system::system_error: let it pass) and it
  // is destroyed.
  std::function<boost::asio::awaitable<std::optional<std::string>>()> stream;
};

Response json_response(const Json& value, int status = 200);
Response text_response(std::string text, std::string content_type = "text/plain; charset=utf-8", int status = 200);
// RFC 9457 application/problem+json: type "/docs/problems#<code>", title, status, detail, code.
Response problem(int status, std::string_view code, std::string_view detail);
// The problem for an Error: status from its code (bad_input 400, denied 403, not_found 404, conflict 409,
// bad_signature and gate_failed 422, unavailable 503, no_space 507, else 500).
Response problem(const Error& error);
// RFC 9110 §13.1.2, weak comparison: does an If-None-Match header name this (quoted) ETag, or "*"?
bool etag_matches(std::string_view if_none_match, std::string_view etag);
// A file with a strong ETag (quotes are added when missing), Range and If-None-Match / If-Range handled (RFC 9110 §14;
// one range).
Response file_response(const Request& request, const Path& path, std::string_view etag, std::string content_type,
                       std::uint64_t bytes_per_second_max = 0);

}  // namespace ferry::http
