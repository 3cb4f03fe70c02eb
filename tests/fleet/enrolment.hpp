// First contact and enrolment of virtual devices: docs/formats/device-api.md, "Enrolment token".
#pragma once
#include "agent/enroll.hpp"
#include "tests/fleet/channel.hpp"

namespace ferry::fleet {

// What a token leads to once everything it pins was checked. Shared by the devices that enrol with it.
struct Enrolment {
  agent::Token token;
  Certificate authority;
  std::unique_ptr<Endpoint> endpoint;
};
// Blocks. bad_signature when the server is not the token's, bad_input for what is no token.
Result<std::unique_ptr<Enrolment>> first_contact(std::string_view token_text);

// POST /.well-known/est/simpleenroll for that key, and what it must be sent with.
Result<Ask> enrolment_ask(const PrivateKey& key);
std::string authorization_of(const agent::Token& token);
// The device's certificate out of the answer; its common name is the device's id.
Result<Certificate> own_certificate(const Heard& answer, const PrivateKey& key, const Certificate& authority,
                                    Instant now);

}  // namespace ferry::fleet
