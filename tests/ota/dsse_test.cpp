#include "ota/attestation.hpp"

#include "common/bytes.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ota;

TEST_CASE("the pre-authentication encoding is the one of the DSSE specification") {
  CHECK(dsse_pae("http://example.com/HelloWorld", "hello world") ==
        "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
  CHECK(dsse_pae("", "") == "DSSEv1 0  0 ");
  CHECK(dsse_pae("\xc3\xa9", std::string("a\0b", 3)) == "DSSEv1 2 \xc3\xa9 3 " + std::string("a\0b", 3));
}

TEST_CASE("the specification's own envelope verifies once its raw signature is DER") {
  // The test vector of the DSSE specification's protocol.md. Its r||s signature is re-encoded as DER, the only form
  // OpenSSL and this program take (TRUST.md section 3.2); the raw form must not verify.
  auto key = PublicKey::from_pem(
      "-----BEGIN PUBLIC KEY-----\n"
      "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZ805D3eqNZywjCI19lInBJOp7YMr\n"
      "CrzAH3CVTAOQ0jgMeCvVTiaRJaRPRDOv8UMs6U4SvKc6pnrIDOoSYI3fdA==\n"
      "-----END PUBLIC KEY-----\n");
  REQUIRE(key);
  const std::string raw = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
  const std::string der =
      "MEQCIANyarEBrVbCdjtsaqyOSHJ14qeRk6CdxfhZ2fjvPEo7AiBR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
  const std::string type = "http://example.com/HelloWorld";
  Json envelope;
  envelope["payload"] = "aGVsbG8gd29ybGQ=";
  envelope["payloadType"] = type;
  envelope["signatures"][0]["sig"] = der;
  auto payload = verify_envelope(envelope.dump(), std::span(&*key, 1), 1, type);
  REQUIRE(payload);
  CHECK(*payload == "hello world");
  envelope["signatures"][0]["sig"] = raw;
  CHECK(verify_envelope(envelope.dump(), std::span(&*key, 1), 1, type).error().code == Errc::bad_signature);
}

TEST_CASE("a threshold counts distinct keys, in whatever base64 alphabet the envelope came") {
  std::vector<PrivateKey> keys;
  for (int i = 0; i < 3; ++i) keys.push_back(*PrivateKey::generate());
  std::vector<PublicKey> trusted = {keys[0].public_key(), keys[1].public_key(), keys[0].public_key()};
  std::string payload;
  for (int i = 0; i < 256; ++i) payload += static_cast<char>(i);  // has every base64 character
  auto sign = [&](std::vector<PrivateKey> with) { return *sign_dsse("type/x", payload, with); };
  CHECK(*verify_envelope(sign({keys[0]}), trusted, 1, "type/x") == payload);
  CHECK(*verify_envelope(sign({keys[0], keys[1]}), trusted, 2, "type/x") == payload);
  CHECK(verify_envelope(sign({keys[0], keys[0]}), trusted, 2, "type/x").error().code == Errc::bad_signature);
  CHECK(verify_envelope(sign({keys[0], keys[2]}), trusted, 2, "type/x").error().code == Errc::bad_signature);
  CHECK(verify_envelope(sign({keys[2]}), trusted, 1, "type/x").error().code == Errc::bad_signature);
  auto nobody_needed = verify_envelope(sign({keys[0]}), trusted, 0, "type/x");
  REQUIRE_FALSE(nobody_needed);  // error() of a success looks like bad_input
  CHECK(nobody_needed.error().code == Errc::bad_input);
  auto another_type = verify_envelope(sign({keys[0]}), trusted, 1, "type/y");
  REQUIRE_FALSE(another_type);
  CHECK_THAT(another_type.error().context, Catch::Contains("payloadType"));
  CHECK_FALSE(sign_dsse("type/x", payload, {}));

  Json envelope = Json::parse(sign({keys[0]}));
  auto url_safe = [](const Json& text) { return to_base64url(*from_base64(text.get<std::string>())); };
  envelope["payload"] = url_safe(envelope["payload"]);
  envelope["signatures"][0]["sig"] = url_safe(envelope["signatures"][0]["sig"]);
  envelope["signatures"][0].erase("keyid");
  envelope["unknown"] = 1;
  CHECK(*verify_envelope(envelope.dump(), trusted, 1, "type/x") == payload);
  envelope["payloadType"] = "type/y";  // the type is signed too
  CHECK(verify_envelope(envelope.dump(), trusted, 1, "type/y").error().code == Errc::bad_signature);
}

TEST_CASE("a malformed envelope is refused, naming the field") {
  auto key = *PrivateKey::generate();
  Json good = Json::parse(*sign_dsse("t", "p", std::span(&key, 1)));
  auto refuse = [&](const std::function<void(Json&)>& change, const char* named) {
    Json envelope = good;
    change(envelope);
    auto result = parse_envelope(envelope.dump());
    INFO(named);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().context, Catch::Contains(named));
  };
  refuse([](Json& e) { e.erase("payload"); }, "payload");
  refuse([](Json& e) { e["payload"] = "!!!"; }, "payload");
  refuse([](Json& e) { e["payloadType"] = 1; }, "payloadType");
  refuse([](Json& e) { e.erase("signatures"); }, "signatures");
  refuse([](Json& e) { e["signatures"][0] = "x"; }, "signatures");
  refuse([](Json& e) { e["signatures"][0].erase("sig"); }, "sig");
  refuse([](Json& e) { e["signatures"] = Json(std::vector<Json>(17, e["signatures"][0])); }, "signatures");
  CHECK_FALSE(parse_envelope(""));
  CHECK_FALSE(parse_envelope("[]"));
}

TEST_CASE("a statement is read and printed back, and refused when malformed") {
  Statement statement{
      .subjects = {{"m/1.0.0/manifest.json", sha256("x")}}, .predicate_type = "p/1", .predicate_json = R"({"a":1.5})"};
  auto read = parse_statement(print_statement(statement));
  REQUIRE(read);
  CHECK(read->subjects[0].sha256 == sha256("x"));
  CHECK(read->predicate_json == R"({"a":1.5})");
  Json good = Json::parse(print_statement(statement));
  auto refuse = [&](const std::function<void(Json&)>& change, const char* named) {
    Json json = good;
    change(json);
    auto result = parse_statement(json.dump());
    INFO(named);
    REQUIRE_FALSE(result);
    CHECK_THAT(result.error().context, Catch::Contains(named));
  };
  refuse([](Json& s) { s["_type"] = "https://in-toto.io/Statement/v0.1"; }, "_type");
  refuse([](Json& s) { s["subject"] = Json::array(); }, "subject");
  refuse([](Json& s) { s["subject"][0].erase("digest"); }, "digest");
  refuse([](Json& s) { s["subject"][0]["digest"]["sha256"] = "zz"; }, "sha256");
  refuse([](Json& s) { s.erase("predicateType"); }, "predicateType");
  refuse([](Json& s) { s["predicate"] = 1; }, "predicate");
}
