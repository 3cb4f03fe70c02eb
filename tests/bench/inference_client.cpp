#include "tests/bench/inference_client.hpp"

#include "common/json.hpp"
#include "tests/bench/support.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

constexpr timeval answer_limit{10, 0};
constexpr std::size_t piece_bytes = 16 * 1024;

std::string post(const std::string& path, std::string_view headers, std::string_view body) {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// The number after `name` (as this server writes it) in a response head; -1 when it is not there.
std::int64_t number_in(std::string_view head, std::string_view name) {
  const auto at = head.find(name);
  if (at == head.npos) return -1;
  std::int64_t value = -1;
  std::from_chars(head.data() + at + name.size(), head.data() + head.size(), value);
  return value;
}

Result<std::string_view> json_part(const Reply& reply) {
  const auto bytes = number_in(reply.head, "\r\nInference-Header-Content-Length: ");
  if (reply.status != 200 || bytes < 0 || static_cast<std::size_t>(bytes) > reply.body.size())
    return Error{Errc::internal,
                 "inference: status " + std::to_string(reply.status) + ": " + reply.body.substr(0, 300)};
  return std::string_view(reply.body).substr(0, static_cast<std::size_t>(bytes));
}

}  // namespace

std::string inference_request(std::string_view model, std::string_view image) {
  const std::string json =
      R"({"inputs":[{"name":"image","shape":[1,1,28,28],"datatype":"FP32","parameters":{"binary_data_size":)" +
      std::to_string(image.size()) + R"(}}],"outputs":[{"name":"logits","parameters":{"binary_data":true}}]})";
  const std::string headers =
      "Content-Type: application/octet-stream\r\nInference-Header-Content-Length: " + std::to_string(json.size()) +
      "\r\n";
  return post("/v2/models/" + std::string(model) + "/infer", headers, json + std::string(image));
}

std::string feedback_request(std::string_view model, std::string_view prediction_id, int label) {
  const std::string json = R"({"prediction_id":")" + std::string(prediction_id) + R"(","label":)" +
                           std::to_string(label) + R"(,"source":"audit"})";
  return post("/v2/models/" + std::string(model) + "/feedback", "Content-Type: application/json\r\n", json);
}

Result<InferenceClient> InferenceClient::connect(const Path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket.string();
  if (path.size() >= sizeof address.sun_path) return Error{Errc::bad_input, path + ": too long for a Unix socket"};
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return errno_error("connect", socket);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &answer_limit, sizeof answer_limit);
  return InferenceClient(std::move(fd));
}

Result<> InferenceClient::exchange(std::string_view request, Reply& reply) {
  while (!request.empty()) {
    const ssize_t sent = ::send(fd_.get(), request.data(), request.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno_error("send", "inference socket");
    request.remove_prefix(static_cast<std::size_t>(sent));
  }
  reply.body.clear();
  std::size_t head_bytes = 0, wanted = 0;
  char piece[piece_bytes];
  do {
    const ssize_t got = ::recv(fd_.get(), piece, sizeof piece, 0);
    if (got <= 0) return Error{Errc::timeout, "inference socket: no answer, or only a part of one"};
    reply.body.append(piece, static_cast<std::size_t>(got));
    if (head_bytes != 0) continue;
    const auto end = reply.body.find("\r\n\r\n");
    if (end == reply.body.npos) continue;
    head_bytes = end + 4;
    reply.head.assign(reply.body, 0, head_bytes);
    const auto length = number_in(reply.head, "\r\nContent-Length: ");
    if (length < 0) return Error{Errc::bad_input, "inference socket: an answer without Content-Length"};
    wanted = head_bytes + static_cast<std::size_t>(length);
  } while (head_bytes == 0 || reply.body.size() < wanted);
  reply.status = static_cast<int>(number_in(reply.head, "HTTP/1.1 "));
  reply.body.erase(0, head_bytes);
  return {};
}

Result<std::vector<float>> scores_of(const Reply& reply) {
  TRY(const std::string_view json, json_part(reply));
  return floats_of(std::string_view(reply.body).substr(json.size()));
}

Result<std::string> prediction_id_of(const Reply& reply) {
  TRY(const std::string_view json, json_part(reply));
  TRY(const Json answer, parse_json(json));
  TRY(const Json* parameters, object_at(answer, "parameters"));
  return string_at(*parameters, "prediction_id", 128);
}

}  // namespace ferry::bench
