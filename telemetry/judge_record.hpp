// A verdict on record: everything it was computed from, printable and parsable (docs/formats/verdict.md), so that
// anyone can compute it again; and the same in sentences for people.
#pragma once
#include "telemetry/judge.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ferry::telemetry {

constexpr std::size_t verdict_bytes_max = 8 * 1024 * 1024;

struct VerdictRecord {
  GateEvidence evidence;
  Verdict verdict;
  bool operator==(const VerdictRecord&) const = default;
};

// bad_input naming the field: policy wrong, more than gate_pairs_max pairs, a device in two pairs, comparisons that are
// doubled, out of order, out of range or of no resolution of the policy. judge() may be given what passes.
Result<> check_evidence(const GateEvidence& evidence);

// `ferry.verdict/1`: JSON with sorted members and whole numbers only, so equal records print as equal bytes everywhere.
std::string print_verdict(const VerdictRecord& record);
// Refuses unknown versions (unsupported) and evidence that check_evidence refuses. Does not recompute.
Result<VerdictRecord> parse_verdict(std::string_view bytes);

// The verdict that the record's own evidence gives; a record is honest when it equals record.verdict.
Verdict recompute(const VerdictRecord& record);

// What was found and why, one sentence each, the decision first. Plain text; device names appear as they are.
std::vector<std::string> explain(const VerdictRecord& record);

}  // namespace ferry::telemetry
