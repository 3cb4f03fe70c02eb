#include "common/http/internal/request_parser.hpp"

#include "common/http/internal/target.hpp"

#include <boost/beast/http/error.hpp>

namespace ferry::http::internal {
namespace {

namespace beast_http = boost::beast::http;
constexpr int fields_max = 100;

std::string_view plain(boost::beast::string_view text) { return {text.data(), text.size()}; }

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

// A header line continued on the next (obsolete folding) has hidden headers from proxies before.
bool has_folded_line(std::string_view header) {
  for (std::size_t at = header.find('\n'); at + 1 < header.size() && at != header.npos; at = header.find('\n', at + 1))
    if (header[at + 1] == ' ' || header[at + 1] == '\t') return true;
  return false;
}

}  // namespace

RequestParser::RequestParser(std::size_t header_bytes_max) {
  header_limit(static_cast<std::uint32_t>(header_bytes_max));
  body_limit(boost::none);  // ours is read_body's, known only when the route is
}

RequestParser::Fed RequestParser::feed(std::string_view bytes) {
  std::size_t consumed = 0;
  // An empty line before a request is let pass (RFC 9112 §2.2).
  while (!got_some() && bytes.size() - consumed >= 2 && bytes.substr(consumed, 2) == "\r\n" && consumed < 4)
    consumed += 2;
  for (;;) {
    if (is_done()) return {Status::complete, consumed};
    if (is_header_done() && !body_wanted_) return {Status::header_done, consumed};
    const std::string_view rest = bytes.substr(consumed);
    if (rest.empty()) return {Status::need_more, consumed};
    const bool in_header = !is_header_done();
    ErrorCode ec;
    const std::size_t taken = put(boost::asio::const_buffer(rest.data(), rest.size()), ec);
    if (in_header && has_folded_line(rest.substr(0, taken)))
      refuse(ec, 400, "a header line is folded onto the next: send it as one line");
    consumed += taken;
    if (ec == beast_http::error::need_more) return {Status::need_more, consumed};
    if (!ec) continue;
    if (ec == beast_http::error::header_limit)
      refuse(ec, 431, "the request line and headers are longer than this server takes");
    if (failure_detail_.empty()) failure_detail_ = "not a well-formed HTTP/1.1 request: " + ec.message();
    return {Status::failed, consumed};
  }
}

std::optional<std::uint64_t> RequestParser::declared_bytes() const {
  const auto length = content_length();
  return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
}

bool RequestParser::expects_continue() const {
  return version_ == 11 && lower_case(request.header("expect")) == "100-continue";
}

Response RequestParser::failure() const {
  const std::string_view code = failure_status_ == 413   ? "body_too_large"
                                : failure_status_ == 431 ? "header_too_large"
                                : failure_status_ == 501 ? "unsupported"
                                                         : "bad_request";
  return problem(failure_status_, code, failure_detail_);
}

void RequestParser::refuse(ErrorCode& ec, int status, std::string detail) {
  ec = beast_http::error::bad_value;
  failure_status_ = status;
  failure_detail_ = std::move(detail);
}

void RequestParser::on_request_impl(beast_http::verb, View method, View target, int version, ErrorCode& ec) {
  version_ = version;
  request.method = plain(method);
  request.raw_target = plain(target);
  auto parsed = internal::parse_target(request.raw_target);
  if (!parsed) return refuse(ec, 400, parsed.error().context);
  request.path = std::move(parsed->path);
  request.query = std::move(parsed->query);
}

void RequestParser::on_field_impl(beast_http::field name, View name_text, View value, ErrorCode& ec) {
  if (header_ended_) return;  // trailers are read and dropped
  if (++fields_ > fields_max) return refuse(ec, 431, "more than " + std::to_string(fields_max) + " header lines");
  const std::string_view text = plain(value);
  if (name == beast_http::field::transfer_encoding) {
    if (version_ < 11) return refuse(ec, 400, "Transfer-Encoding is not part of HTTP/1.0");
    if (lower_case(text) != "chunked") return refuse(ec, 501, "Transfer-Encoding: only 'chunked' is understood");
  }
  auto [field, added] = request.headers.try_emplace(lower_case(plain(name_text)), text);
  if (added) return;
  switch (name) {
    case beast_http::field::host:
    case beast_http::field::content_length:
    case beast_http::field::content_type:
    case beast_http::field::authorization:
    case beast_http::field::range:
    case beast_http::field::expect:
      return refuse(ec, 400, "header '" + field->first + "' is there twice");
    case beast_http::field::cookie:
      field->second += "; ";
      break;
    default:
      field->second += ", ";
  }
  field->second += text;
}

void RequestParser::on_header_impl(ErrorCode& ec) {
  header_ended_ = true;
  if (version_ == 11 && !request.headers.count("host")) refuse(ec, 400, "header 'host' is missing");
}

std::size_t RequestParser::on_body_impl(View piece, ErrorCode& ec) {
  if (piece.size() > body_bytes_max_ - body_bytes_) {
    refuse(ec, 413, "the body is longer than the " + std::to_string(body_bytes_max_) + " bytes taken here");
    return 0;
  }
  body_bytes_ += piece.size();
  request.body.append(piece.data(), piece.size());
  return piece.size();
}

std::size_t RequestParser::on_chunk_body_impl(std::uint64_t, View piece, ErrorCode& ec) {
  return on_body_impl(piece, ec);
}

}  // namespace ferry::http::internal
