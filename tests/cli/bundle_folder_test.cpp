#include "cli/bundle_folder.hpp"

#include "ota/attestation.hpp"
#include "tests/cli/workshop.hpp"

using namespace ferry;
using namespace ferry::test;

TEST_CASE("lines that are no statements change nothing about what a report is about") {
  const TempDir folder;
  Workshop::shared().gated("1.1.0", folder / "b");
  const auto bundle = cli::open_bundle(folder / "b");
  REQUIRE(bundle);
  CHECK(bundle->digest() == sha256(read_text(folder / "b" / "manifest.json")));
  const auto attestations = cli::read_attestations(*bundle);
  REQUIRE(attestations);
  for (const std::string& text :
       {*attestations, "\n\nnot JSON\n{}\n" + *attestations, *attestations + "{\"payload\": 1}"}) {
    CHECK(cli::check_subjects(*bundle, text));
    const auto result = cli::claimed_result(text);
    REQUIRE(result);
    CHECK(*result == "PASSED");
  }
}

TEST_CASE("a statement about two things, or about another, is not about this bundle") {
  const TempDir folder;
  Workshop::shared().gated("1.1.0", folder / "b");
  const auto bundle = cli::open_bundle(folder / "b");
  REQUIRE(bundle);
  const auto key = PrivateKey::load(Workshop::shared().key("gate.pem"));
  REQUIRE(key);
  const auto line = [&](std::vector<ota::Subject> subjects) {
    const ota::Statement statement{std::move(subjects), std::string(ota::test_result_predicate),
                                   R"({"result": "PASSED"})"};
    return *ota::sign_dsse(ota::in_toto_payload_type, ota::print_statement(statement), std::span(&*key, 1)) + "\n";
  };
  const ota::Subject own{"own", bundle->digest()}, other{"other", sha256("other")};
  CHECK(cli::check_subjects(*bundle, line({own})));
  for (const std::string& text : {line({other}), line({own, other}), line({own}) + line({other})}) {
    const auto checked = cli::check_subjects(*bundle, text);
    REQUIRE(!checked);
    CHECK(checked.error().code == Errc::bad_signature);
  }
}

TEST_CASE("no report at all is the gate's business: it has not run") {
  const TempDir folder;
  const cli::BundleFolder bundle{folder.path(), "", {}};
  const auto attestations = cli::read_attestations(bundle);
  REQUIRE(!attestations);
  CHECK(attestations.error().code == Errc::gate_failed);
  const auto result = cli::claimed_result("");
  REQUIRE(!result);
  CHECK(result.error().reason == "trust.attestation_missing");
}
