#include "common/http/message.hpp"

#include "common/http/internal/response_head.hpp"

#include <sys/stat.h>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ferry::http {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

struct ByteRange {
  std::uint64_t offset, length;
};
enum class RangeVerdict { whole, part, unsatisfiable };

// RFC 9110 §14.1.2, one range only: anything else, or anything malformed, means the whole file.
RangeVerdict read_range(std::string_view header, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit)) return RangeVerdict::whole;
  const std::string_view spec = trimmed(header.substr(unit.size()));
  const auto dash = spec.find('-');
  if (dash == spec.npos || spec.find(',') != spec.npos) return RangeVerdict::whole;
  const std::string_view first_text = trimmed(spec.substr(0, dash)), last_text = trimmed(spec.substr(dash + 1));
  const auto first = decimal(first_text), last = decimal(last_text);
  if (first_text.empty()) {  // "-n": the last n bytes
    if (!last) return RangeVerdict::whole;
    if (*last == 0 || size == 0) return RangeVerdict::unsatisfiable;
    range.length = std::min(*last, size);
    range.offset = size - range.length;
    return RangeVerdict::part;
  }
  if (!first || (!last && !last_text.empty()) || (last && *last < *first)) return RangeVerdict::whole;
  if (*first >= size) return RangeVerdict::unsatisfiable;
  range.offset = *first;
  range.length = (last ? std::min(*last, size - 1) : size - 1) - *first + 1;
  return RangeVerdict::part;
}

int status_of(Errc code) {
  switch (code) {
    case Errc::bad_input:
      return 400;
    case Errc::denied:
      return 403;
    case Errc::not_found:
      return 404;
    case Errc::conflict:
      return 409;
    case Errc::bad_signature:
    case Errc::gate_failed:
      return 422;
    case Errc::unavailable:
      return 503;
    case Errc::no_space:
      return 507;
    default:
      return 500;
  }
}

}  // namespace

std::string_view Request::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

Response json_response(const Json& value, int status) {
  Response response;
  response.status = status;
  response.headers.emplace("Content-Type", "application/json");
  response.body = dump_json(value);
  return response;
}

Response text_response(std::string text, std::string content_type, int status) {
  Response response;
  response.status = status;
  response.headers.emplace("Content-Type", std::move(content_type));
  response.body = std::move(text);
  return response;
}

Response problem(int status, std::string_view code, std::string_view detail) {
  Json value = Json::object();
  value["type"] = "/docs/problems#" + std::string(code);
  value["title"] = internal::reason_phrase(status);
  value["status"] = status;
  value["detail"] = detail;
  value["code"] = code;
  Response response = json_response(value, status);
  response.headers["Content-Type"] = "application/problem+json";
  return response;
}

Response problem(const Error& error) {
  return problem(status_of(error.code), error.reason.empty() ? to_string(error.code) : std::string_view(error.reason),
                 error.context);
}

bool etag_matches(std::string_view if_none_match, std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  while (!if_none_match.empty()) {
    const auto comma = if_none_match.find(',');
    std::string_view candidate = trimmed(if_none_match.substr(0, comma));
    if (candidate.starts_with("W/")) candidate.remove_prefix(2);
    if (candidate == "*" || (!candidate.empty() && candidate == etag)) return true;
    if (comma == if_none_match.npos) return false;
    if_none_match.remove_prefix(comma + 1);
  }
  return false;
}

Response file_response(const Request& request, const Path& path, std::string_view etag, std::string content_type,
                       std::uint64_t bytes_per_second_max) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode))
    return problem(404, "not_found", "the file is not here (any more)");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const std::string tag = etag.starts_with('"') ? std::string(etag) : "\"" + std::string(etag) + "\"";
  Response response;
  response.headers.emplace("ETag", tag);
  response.headers.emplace("Accept-Ranges", "bytes");
  if (const auto known = request.header("if-none-match"); !known.empty() && etag_matches(known, tag)) {
    response.status = 304;
    return response;
  }
  response.headers.emplace("Content-Type", std::move(content_type));
  ByteRange range{0, size};
  const std::string_view if_range = request.header("if-range");
  RangeVerdict verdict = RangeVerdict::whole;
  if (request.method == "GET" && (if_range.empty() || trimmed(if_range) == tag))
    verdict = read_range(request.header("range"), size, range);
  if (verdict == RangeVerdict::unsatisfiable) {
    Response refused = problem(416, "range_not_satisfiable", "the file has " + std::to_string(size) + " bytes");
    refused.headers["Content-Range"] = "bytes */" + std::to_string(size);
    return refused;
  }
  if (verdict == RangeVerdict::part) {
    response.status = 206;
    response.headers["Content-Range"] = "bytes " + std::to_string(range.offset) + "-" +
                                        std::to_string(range.offset + range.length - 1) + "/" + std::to_string(size);
  }
  response.file = FileRange{path, range.offset, range.length, bytes_per_second_max};
  return response;
}

}  // namespace ferry::http
