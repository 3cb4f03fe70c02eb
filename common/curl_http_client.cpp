#include "common/http_client.hpp"

#include "common/handle.hpp"
#include "common/json.hpp"

#include <curl/curl.h>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ferry {
namespace {

constexpr std::size_t header_bytes_max = 64 * 1024;
constexpr std::size_t header_lines_max = 200;
constexpr Duration retry_after_max = std::chrono::hours{1};
constexpr std::size_t problem_detail_bytes_max = 500;

using Easy = Handle<CURL, curl_easy_cleanup>;
using HeaderList = Handle<curl_slist, curl_slist_free_all>;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

// What one exchange collects; the curl callbacks see only this. An error set here is the outcome, whatever curl says.
struct Exchange {
  const HttpRequest& request;
  HttpResponse response;
  std::optional<Error> failure;
  std::size_t header_bytes = 0;
  std::size_t header_lines = 0;
  std::size_t body_bytes = 0;

  bool fail(Errc code, std::string context) {
    if (!failure) failure = Error{code, std::move(context)};
    return false;
  }
  bool on_header_line(std::string_view line);
  bool on_body(std::string_view piece);
};

bool Exchange::on_header_line(std::string_view line) {
  header_bytes += line.size();
  if (header_bytes > header_bytes_max || ++header_lines > header_lines_max)
    return fail(Errc::bad_input, "answer: its headers are longer than " + std::to_string(header_bytes_max) + " bytes");
  if (line.starts_with("HTTP/")) {  // a new status line: what came before was 1xx
    response.headers.clear();
    const auto space = line.find(' ');
    if (space != line.npos) std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
    return true;
  }
  const auto colon = line.find(':');
  if (colon == line.npos) return true;
  auto [field, added] =
      response.headers.try_emplace(lower_case(trimmed(line.substr(0, colon))), trimmed(line.substr(colon + 1)));
  if (!added) field->second.append(", ").append(trimmed(line.substr(colon + 1)));
  return true;
}

bool Exchange::on_body(std::string_view piece) {
  body_bytes += piece.size();
  if (body_bytes > request.body_bytes_max)
    return fail(Errc::bad_input,
                "answer: longer than the " + std::to_string(request.body_bytes_max) + " bytes expected");
  if (request.sink && response.status >= 200 && response.status < 300)
    return request.sink(piece) || fail(Errc::cancelled, "cancelled by the receiver");
  response.body.append(piece);
  return true;
}

// An exception must not pass through curl's C frames.
template <class Call>
std::size_t guarded(Exchange& exchange, std::size_t size, Call call) {
  try {
    return call() ? size : CURL_WRITEFUNC_ERROR;
  } catch (const std::exception& thrown) {
    exchange.fail(Errc::internal, std::string("receiving the answer: ") + thrown.what());
    return CURL_WRITEFUNC_ERROR;
  }
}

std::size_t take_header(char* bytes, std::size_t one, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  return guarded(exchange, one * count, [&] { return exchange.on_header_line({bytes, one * count}); });
}

std::size_t take_body(char* bytes, std::size_t one, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  return guarded(exchange, one * count, [&] { return exchange.on_body({bytes, one * count}); });
}

int watch(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& exchange = *static_cast<Exchange*>(user);
  if (!exchange.request.cancel || !exchange.request.cancel->load()) return 0;
  exchange.fail(Errc::cancelled, "cancelled");
  return 1;
}

Errc code_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return Errc::timeout;
    case CURLE_PEER_FAILED_VERIFICATION:
      return Errc::bad_signature;
    case CURLE_ABORTED_BY_CALLBACK:
      return Errc::cancelled;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_UNKNOWN_OPTION:
      return Errc::internal;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_OUT_OF_MEMORY:  // what libcurl says of a header line beyond its 100 KiB
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
      return Errc::bad_input;
    default:
      return Errc::unreachable;
  }
}

// Without the query, which may hold a secret.
std::string shown_url(std::string_view url) {
  constexpr std::size_t shown_bytes_max = 200;
  return std::string(url.substr(0, std::min(url.find('?'), shown_bytes_max)));
}

class CurlHttpClient final : public HttpClient {
 public:
  explicit CurlHttpClient(TlsClientConfig tls) : tls_(std::move(tls)), easy_(curl_easy_init()) {}
  Result<HttpResponse> send(const HttpRequest& request) override;

 private:
  void set_common(const HttpRequest& request, Exchange& exchange);
  void set_limits(const HttpRequest& request);
  void set_tls();
  Result<> set_method(const HttpRequest& request);
  Result<HeaderList> headers_of(const HttpRequest& request) const;

  const TlsClientConfig tls_;
  char detail_[CURL_ERROR_SIZE] = "";
  Easy easy_;
};

void CurlHttpClient::set_common(const HttpRequest& request, Exchange& exchange) {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail_);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, request.cancel ? 0L : 1L);
  if (!request.unix_socket.empty()) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
}

void CurlHttpClient::set_limits(const HttpRequest& request) {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.time_limit.count()));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(std::max<std::int64_t>(1, request.connect_limit.count())));
  if (request.bytes_per_second_min == 0) return;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(request.stall_limit).count();
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(request.bytes_per_second_min));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(std::max<std::int64_t>(1, seconds)));
}

void CurlHttpClient::set_tls() {
  CURL* easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls_.insecure ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls_.insecure ? 0L : 2L);
  if (!tls_.ca_pem.empty()) {
    // The handle copies nothing here: tls_ outlives it.
    curl_blob blob{const_cast<char*>(tls_.ca_pem.data()), tls_.ca_pem.size(), CURL_BLOB_NOCOPY};
    curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  if (tls_.certificate_path.empty()) return;
  curl_easy_setopt(easy, CURLOPT_SSLCERT, tls_.certificate_path.c_str());
  curl_easy_setopt(easy, CURLOPT_SSLKEY, tls_.key_path.c_str());
}

Result<> CurlHttpClient::set_method(const HttpRequest& request) {
  CURL* easy = easy_.get();
  const std::string& method = request.method;
  if (method.empty() || method.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos)
    return Error{Errc::bad_input, "method '" + method + "': expected upper-case letters"};
  if (method == "GET" && request.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  } else if (method == "HEAD") {
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  } else if (request.body.empty() && method != "POST" && method != "PUT" && method != "PATCH") {
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  } else {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method.c_str());
  }
  return {};
}

Result<HeaderList> CurlHttpClient::headers_of(const HttpRequest& request) const {
  HeaderList list;
  const auto add = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (!longer) return false;
    static_cast<void>(list.release());
    list.reset(longer);
    return true;
  };
  bool has_type = false;
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || name.find_first_of(":;\r\n\t ") != std::string::npos ||
        value.find_first_of("\r\n") != std::string::npos || value.find('\0') != std::string::npos)
      return Error{Errc::bad_input,
                   "header '" + name + "': a name without blanks and a value on one line are expected"};
    has_type = has_type || lower_case(name) == "content-type";
    // curl's spelling of a header without a value.
    if (!add(value.empty() ? name + ";" : name + ": " + value)) return Error{Errc::internal, "out of memory"};
  }
  // Not a form, whatever curl thinks of a body.
  if (!has_type && !request.body.empty() && !add("Content-Type: application/octet-stream"))
    return Error{Errc::internal, "out of memory"};
  if (!has_type && request.body.empty() && !add("Content-Type:")) return Error{Errc::internal, "out of memory"};
  return list;
}

Result<HttpResponse> CurlHttpClient::send(const HttpRequest& request) {
  if (!easy_) return Error{Errc::internal, "curl_easy_init failed"};
  if (request.cancel && request.cancel->load()) return Error{Errc::cancelled, "cancelled"};
  curl_easy_reset(easy_.get());  // options only: connections, sessions and DNS entries stay
  detail_[0] = '\0';
  Exchange exchange{request, {}, {}};
  set_common(request, exchange);
  set_limits(request);
  set_tls();
  TRY_VOID(set_method(request));
  TRY(const HeaderList headers, headers_of(request));
  curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(easy_.get());
  // The handle keeps pointers into this call's frame until the next reset: drop those that curl might touch.
  curl_easy_setopt(easy_.get(), CURLOPT_HTTPHEADER, nullptr);
  const std::string where = request.method + " " + shown_url(request.url);
  if (exchange.failure) return std::move(*exchange.failure).within(where);
  if (code != CURLE_OK) return Error{code_of(code), where + ": " + (detail_[0] ? detail_ : curl_easy_strerror(code))};
  if (exchange.response.status < 200 || exchange.response.status > 599)
    return Error{Errc::bad_input, where + ": answered with status " + std::to_string(exchange.response.status)};
  return std::move(exchange.response);
}

}  // namespace

std::optional<Duration> HttpResponse::retry_after() const {
  const auto header = headers.find("retry-after");
  if (header == headers.end() || header->second.empty()) return std::nullopt;
  std::uint32_t seconds = 0;
  const char* end = header->second.data() + header->second.size();
  const auto parsed = std::from_chars(header->second.data(), end, seconds);
  if (parsed.ptr != end) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) return retry_after_max;
  if (parsed.ec != std::errc{}) return std::nullopt;
  return std::min<Duration>(std::chrono::seconds{seconds}, retry_after_max);
}

std::unique_ptr<HttpClient> make_http_client(TlsClientConfig tls) {
  // Thread-safe initialisation; never undone, because other handles may live to the end of the process.
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(ready);
  return std::make_unique<CurlHttpClient>(std::move(tls));
}

Error error_from_status(const HttpResponse& response, std::string_view what) {
  const int status = response.status;
  const Errc code = status == 429 || status == 503   ? Errc::unavailable
                    : status >= 500                  ? Errc::unreachable
                    : status == 401 || status == 403 ? Errc::denied
                    : status == 404                  ? Errc::not_found
                    : status == 409 || status == 412 ? Errc::conflict
                                                     : Errc::bad_input;
  Error error{code, std::string(what) + ": the server answered " + std::to_string(status)};
  const auto body = parse_json(response.body, {.bytes_max = 64 * 1024, .depth_max = 8});
  if (!body || !body->is_object()) return error;
  if (const auto detail = string_at(*body, "detail"); detail && !detail->empty())
    error.context += ": " + detail->substr(0, problem_detail_bytes_max);
  return error;
}

}  // namespace ferry
