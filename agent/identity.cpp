// Reads identity/ back.
#include "agent/identity.hpp"

namespace ferry::agent {
namespace {
constexpr std::size_t pem_bytes_max = 64 * 1024;
}

Json to_json(const Identity& identity) {
  return Json{{"format", "ferry.device/1"},
              {"device", identity.device},
              {"server", identity.server},
              {"root_sha256", identity.root_sha256.hex()},
              {"ca_sha256", identity.ca_sha256.hex()},
              {"install", identity.install}};
}

Result<std::string> check_server_url(std::string_view url) {
  constexpr std::string_view scheme = "https://";
  bool good = url.size() > scheme.size() && url.substr(0, scheme.size()) == scheme && url.size() < 512;
  for (char c : url) good = good && c > ' ' && c < 0x7f && c != '"' && c != '\\' && c != '@' && c != '?' && c != '#';
  std::string_view rest = good ? url.substr(scheme.size()) : std::string_view{};
  if (good && rest.find('/') != std::string_view::npos) good = rest.find('/') == rest.size() - 1;
  if (!good)
    return Error{Errc::bad_input,
                 "server: found \"" + std::string(url.substr(0, 80)) + "\", expected https://host:port"};
  if (url.back() == '/') url.remove_suffix(1);
  return std::string(url);
}

Result<Identity> load_identity(const DataTree& data) {
  Path path = data.identity() / "device.json";
  auto text = read_file(path, 16 * 1024);
  if (!text && text.error().code == Errc::not_found)
    return Error{Errc::not_found, path.string() + ": this device is not enrolled; run `ferry-agent enroll --token …`"};
  if (!text) return std::move(text).error();
  auto parse = [&]() -> Result<Identity> {
    TRY(Json document, parse_json(*text));
    TRY(auto format, string_at(document, "format", 64));
    if (format != "ferry.device/1")
      return Error{Errc::unsupported, "format: found \"" + format + "\", expected ferry.device/1"};
    Identity identity;
    TRY(identity.device, string_at(document, "device", 128));
    TRY(auto server, string_at(document, "server", 512));
    TRY(identity.server, check_server_url(server));
    TRY(auto root, string_at(document, "root_sha256", 64));
    TRY(identity.root_sha256, Digest::from_hex(root));
    TRY(auto ca, string_at(document, "ca_sha256", 64));
    TRY(identity.ca_sha256, Digest::from_hex(ca));
    TRY(identity.install, string_at(document, "install", 128));
    return identity;
  };
  auto identity = parse();
  if (!identity) return std::move(identity).error().within(path.string());
  return identity;
}

Result<Certificate> load_certificate(const DataTree& data) {
  Path path = data.identity() / "certificate.pem";
  TRY(auto pem, read_file(path, pem_bytes_max));
  auto certificate = certificate_from_pem(pem);
  if (!certificate) return std::move(certificate).error().within(path.string());
  return certificate;
}

Result<TlsClientConfig> device_tls(const DataTree& data) {
  TlsClientConfig tls;
  TRY(tls.ca_pem, read_file(data.identity() / "ca.pem", pem_bytes_max));
  tls.certificate_path = data.identity() / "certificate.pem";
  tls.key_path = data.identity() / "key.pem";
  return tls;
}

}  // namespace ferry::agent
