#include "server/enrolment/enrolment.hpp"

#include "common/bytes.hpp"
#include "tests/server/core_fixture.hpp"

#include <thread>

using namespace ferry;
using namespace ferry::server;
using namespace ferry::server::test;
using namespace std::chrono_literals;

namespace {

struct Secret {
  std::string id, secret;
};

struct World : Core {
  World() { connect(); }
  SystemRandom chance;
  CertificateAuthority authority = need(
      CertificateAuthority::create("test CA", clock.now() - 1h, clock.now() + std::chrono::hours{24 * 3650}, chance));
  std::optional<Enrolment> enrolment;

  void connect() { enrolment.emplace(authority, *database, *fleet, clock, chance); }
  void reconnect() {
    enrolment.reset();
    restart();
    connect();
  }
  Json token_json(const Enrolment::Token& token) {
    REQUIRE(token.text.starts_with("ferry1."));
    return need(parse_json(need(from_base64(token.text.substr(7)))));
  }
  Secret token(std::int64_t uses = 1, std::int64_t ttl_s = 3600, Labels labels = {}) {
    const auto made = need(enrolment->create_token({uses, ttl_s, std::move(labels), "ada"}, "https://server:1", {}));
    const Json json = token_json(made);
    return {json["id"].get<std::string>(), json["secret"].get<std::string>()};
  }
  static PrivateKey key() { return *PrivateKey::generate(); }
  Result<Certificate> enrol(const Secret& secret, const PrivateKey& key) {
    return enrolment->enrol(secret.id, secret.secret, *make_csr(key, "whatever I like"));
  }
  std::vector<EventRow> timeline(const std::string& device) {
    DeviceStore store(*database);
    return need(store.events(device, 0, 100));
  }
};

void check_refused(const Result<Certificate>& result, const std::string& reason) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::denied);
  CHECK(result.error().reason == reason);
}

}  // namespace

TEST_CASE("a token says what a device needs for first contact, and its secret is not stored") {
  World world;
  const auto made =
      need(world.enrolment->create_token({2, 60, {{"site", "oslo"}}, "ada"}, "https://s:8443", sha256("root")));
  const Json json = world.token_json(made);
  CHECK(json["format"] == "ferry.token/1");
  CHECK(json["server"] == "https://s:8443");
  CHECK(json["ca_sha256"] == world.authority.certificate().fingerprint.hex());
  CHECK(json["root_sha256"] == sha256("root").hex());
  CHECK(json["id"] == made.id);
  const std::string secret = json["secret"].get<std::string>();
  CHECK(secret.size() == 43);
  CHECK(made.expires_ms == to_unix_ms(world.clock.now()) + 60'000);
  const auto row = need(world.enrolment->tokens().find(made.id));
  REQUIRE(row);
  CHECK(row->secret_sha256 == sha256(secret));
  CHECK(row->uses_left == 2);
  CHECK(row->created_by == "ada");
  CHECK(row->labels == R"({"site":"oslo"})");
  auto bad = world.enrolment->create_token({1, 60, {{"Site", "x"}}, "ada"}, "https://s:1", {});
  CHECK(bad.error().code == Errc::bad_input);
}

TEST_CASE("a device enrols with its own key and gets an identity that the server chose") {
  World world;
  const PrivateKey key = World::key();
  const Certificate certificate = need(world.enrol(world.token(1, 3600, {{"site", "oslo"}}), key));
  CHECK(certificate.common_name.starts_with("dev-"));
  CHECK(certificate.key_digest == sha256(key.public_key().spki_der()));
  need(verify_certificate(certificate, world.authority.certificate(), world.clock.now()));
  CHECK(certificate.not_after - world.clock.now() > device_certificate_life - 1h);
  CHECK(certificate.not_before < world.clock.now());
  const DevicePtr device = world.fleet->find_by_fingerprint(certificate.fingerprint.hex());
  REQUIRE(device);
  CHECK(device->id == certificate.common_name);
  CHECK(device->facts()->labels == Labels{{"site", "oslo"}});
  const auto timeline = world.timeline(device->id);
  REQUIRE(timeline.size() == 1);
  CHECK(timeline[0].kind == "enrolled");
  world.reconnect();
  CHECK(world.fleet->find_by_fingerprint(certificate.fingerprint.hex())->id == certificate.common_name);
  CHECK(world.fleet->find(certificate.common_name)->facts()->labels == Labels{{"site", "oslo"}});
}

TEST_CASE("a token that is unknown, wrong, used up or expired lets nobody in") {
  World world;
  const Secret good = world.token(1, 60);
  check_refused(world.enrol({"tok-unknown", good.secret}, World::key()), "token_invalid");
  check_refused(world.enrol({good.id, "wrong"}, World::key()), "token_invalid");
  check_refused(world.enrol({good.id, ""}, World::key()), "token_invalid");
  check_refused(world.enrol({"", ""}, World::key()), "token_invalid");
  CHECK(need(world.enrolment->tokens().find(good.id))->uses_left == 1);  // wrong guesses use nothing up
  need(world.enrol(good, World::key()));
  check_refused(world.enrol(good, World::key()), "token_used");
  const Secret old = world.token(5, 60);
  world.clock.advance(59s);
  need(world.enrol(old, World::key()));
  world.clock.advance(1s);
  check_refused(world.enrol(old, World::key()), "token_expired");
  CHECK(world.fleet->size() == 2);
  const Secret removed = world.token();
  CHECK(need(world.enrolment->tokens().remove(removed.id)));
  check_refused(world.enrol(removed, World::key()), "token_invalid");
}

TEST_CASE("the same key with the same token gets its device back: a lost answer costs nothing") {
  World world;
  const Secret token = world.token(2);
  const PrivateKey key = World::key();
  const Certificate first = need(world.enrol(token, key));
  const Certificate again = need(world.enrol(token, key));
  CHECK(again.common_name == first.common_name);
  CHECK(again.fingerprint != first.fingerprint);
  CHECK(need(world.enrolment->tokens().find(token.id))->uses_left == 1);
  CHECK(world.fleet->size() == 1);
  CHECK(world.fleet->find_by_fingerprint(first.fingerprint.hex()));
  CHECK(world.fleet->find_by_fingerprint(again.fingerprint.hex()));
  const Secret other = world.token();
  CHECK(need(world.enrol(other, key)).common_name != first.common_name);  // another token: another device
  need(world.enrol(token, World::key()));
  CHECK(need(world.enrol(token, key)).common_name == first.common_name);  // also when the token is used up by then
}

TEST_CASE("asking again and again keeps the newest certificates valid, over a restart too") {
  World world;
  const Secret token = world.token();
  const PrivateKey key = World::key();
  std::vector<Certificate> certificates;
  for (int i = 0; i < 8; ++i) {
    certificates.push_back(need(world.enrol(token, key)));
    world.clock.advance(1ms);
  }
  for (int restarts = 0; restarts < 2; ++restarts) {
    CHECK(world.fleet->find_by_fingerprint(certificates.back().fingerprint.hex()));
    CHECK_FALSE(world.fleet->find_by_fingerprint(certificates.front().fingerprint.hex()));
    CHECK(world.fleet->certificates_of(certificates.back().common_name).size() ==
          static_cast<std::size_t>(certificates_per_device_max));
    world.reconnect();
  }
}

TEST_CASE("two devices at once cannot both take the last use, and one key at once is one device") {
  World world;
  const Secret token = world.token(3);
  const PrivateKey shared = World::key();
  std::vector<PrivateKey> keys;
  for (int i = 0; i < 8; ++i) keys.push_back(i < 4 ? shared : World::key());
  std::mutex mutex;
  std::set<std::string> devices;
  int refused = 0;
  std::vector<std::thread> threads;
  for (const PrivateKey& key : keys)
    threads.emplace_back([&, key] {
      auto result = world.enrol(token, key);
      std::lock_guard lock(mutex);
      if (result)
        devices.insert(result->common_name);
      else
        ++refused;
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(devices.size() == 3);
  CHECK(world.fleet->size() == 3);
  CHECK(need(world.enrolment->tokens().find(token.id))->uses_left == 0);
  CHECK(need(world.enrolment->tokens().devices_of(token.id, 10)).size() == 3);
  CHECK(refused >= 2);
}

TEST_CASE("a request that does not prove its key, or is none, is refused before the token is touched") {
  World world;
  const Secret token = world.token();
  std::string csr = *make_csr(World::key(), "x");
  csr.back() = static_cast<char>(csr.back() ^ 1);
  for (const std::string& bad : {std::string(), std::string("nonsense"), csr, csr.substr(0, 40)}) {
    auto result = world.enrolment->enrol(token.id, token.secret, bad);
    REQUIRE_FALSE(result);
    CHECK((result.error().code == Errc::bad_input || result.error().code == Errc::bad_signature));
  }
  need(world.enrol(token, World::key()));
}

TEST_CASE("a certificate is renewed for the same key or a new one, and the old one works on for a while") {
  World world;
  const PrivateKey key = World::key(), next = World::key();
  const Certificate first = need(world.enrol(world.token(), key));
  world.clock.advance(std::chrono::hours{60 * 24});
  const Certificate second = need(world.enrolment->renew(first.common_name, *make_csr(key, "device")));
  const Certificate third = need(world.enrolment->renew(first.common_name, *make_csr(next, "device")));
  CHECK(second.common_name == first.common_name);
  CHECK(second.not_after > first.not_after);
  CHECK(third.key_digest == sha256(next.public_key().spki_der()));
  for (const Certificate& certificate : {first, second, third})
    CHECK(world.fleet->find_by_fingerprint(certificate.fingerprint.hex()));
  CHECK(world.timeline(first.common_name).front().kind == "renewed");
  check_refused(world.enrolment->renew("dev-unknown", *make_csr(key, "device")), "device_revoked");
  CHECK(world.enrolment->renew(first.common_name, "nonsense").error().code == Errc::bad_input);
}

TEST_CASE("a revoked device stays out: no renewal, no way back by its token, over a restart too") {
  World world;
  const Secret token = world.token(5);
  const PrivateKey key = World::key();
  const Certificate certificate = need(world.enrol(token, key));
  const std::string device = certificate.common_name;
  const std::uint64_t membership = world.fleet->membership();
  need(world.enrolment->revoke(device, "ada"));
  CHECK(world.fleet->membership() > membership);
  for (int restarts = 0; restarts < 2; ++restarts) {
    CHECK(world.fleet->find(device)->revoked);
    check_refused(world.enrolment->renew(device, *make_csr(key, "device")), "device_revoked");
    check_refused(world.enrol(token, key), "device_revoked");
    world.reconnect();
  }
  CHECK(world.timeline(device).front().kind == "revoked");
  CHECK_THAT(world.timeline(device).front().body, Catch::Contains("ada"));
  CHECK(world.enrolment->revoke("dev-unknown", "ada").error().code == Errc::not_found);
}

TEST_CASE("killed anywhere in an enrolment, a token's use and its device exist together or not at all") {
  for (std::int64_t steps = 0;; ++steps) {
    World world;
    const Secret token = world.token(1);
    const PrivateKey key = World::key();
    world.database->steps_left = steps;
    const auto result = world.enrol(token, key);
    world.reconnect();
    const auto uses = need(world.enrolment->tokens().devices_of(token.id, 5)).size();
    INFO("after " << steps << " steps");
    CHECK(world.fleet->size() == uses);
    CHECK(need(world.enrolment->tokens().find(token.id))->uses_left == std::int64_t(1 - uses));
    const Certificate again = need(world.enrol(token, key));  // the device asks until it is answered
    CHECK(world.fleet->size() == 1);
    CHECK(world.fleet->find_by_fingerprint(again.fingerprint.hex()));
    if (result) break;
    REQUIRE(steps < 50);
  }
}
