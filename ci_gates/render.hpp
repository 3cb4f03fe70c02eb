// A gate's outcome in the forms that CI systems read: JUnit XML, a GitHub step summary, workflow commands. Pure. Names
// in it come from models and policies, so every form escapes them: none can end its cell, line or attribute.
#pragma once
#include "ci_gates/gate.hpp"

#include <string>
#include <string_view>

namespace ferry::ci_gates {

// GitHub drops a step's summary of more than 1 MiB (1024 k) altogether.
inline constexpr std::size_t summary_bytes_max = 1024 * 1024;

// Text for people: control characters and line ends become spaces, what is no UTF-8 becomes U+FFFD, and a first
// character that a spreadsheet would take for a formula (= + - @) gets an apostrophe before it.
std::string plain_text(std::string_view text);

// One test suite, named by the hardware class; one test case a check. A hold is an error, a fail a failure.
std::string junit(const GateOutcome& outcome);

// A table under a heading, at most `bytes_max` long: checks that do not fit are counted instead, the bad ones come
// first. `bytes_max` too small for the heading alone: empty.
std::string markdown(const GateOutcome& outcome, std::size_t bytes_max = summary_bytes_max);

// "::error …" for each failed check, "::warning …" for each held one; one line each. GitHub shows ten of a step.
std::string workflow_commands(const GateOutcome& outcome);

}  // namespace ferry::ci_gates
