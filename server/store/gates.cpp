// SQL of live gates.
#include "server/store/gates.hpp"

#include "server/store/packed_window.hpp"

namespace ferry::server {
namespace {

Result<Blob> packed(const telemetry::ReleaseWindow& window) {
  if (window.key.model.empty()) return Blob{};
  return pack_window(window);
}

}  // namespace

Result<> GateStore::insert(const std::string& rollout, const GatePairRow& row) {
  TRY(auto canary_before, packed(row.canary_before));
  TRY(auto control_before, packed(row.control_before));
  TRY(auto canary_now, packed(row.canary_now));
  TRY(auto control_now, packed(row.control_now));
  return execute(database_,
                 "insert into gate_pairs (rollout, number, started_ms, canary_heard_ms, control_heard_ms, evidence, "
                 "canary_before, "
                 "control_before, canary_now, control_now) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                 {rollout, row.number, row.started_ms, row.canary_heard_ms, row.control_heard_ms, row.evidence,
                  std::move(canary_before), std::move(control_before), std::move(canary_now), std::move(control_now)});
}

Result<std::vector<GatePairRow>> GateStore::load(const std::string& rollout) {
  TRY(auto rows,
      database_.query("select number, started_ms, canary_heard_ms, control_heard_ms, evidence, canary_before, "
                      "control_before, canary_now, control_now from gate_pairs where rollout = $1 order by number",
                      {rollout}));
  std::vector<GatePairRow> pairs;
  for (const Row& row : rows) {
    GatePairRow pair;
    pair.number = row.integer(0);
    pair.started_ms = row.integer(1);
    pair.canary_heard_ms = row.integer(2);
    pair.control_heard_ms = row.integer(3);
    pair.evidence = row.text(4);
    TRY(pair.canary_before, unpack_window_or_empty(row.blob(5)));
    TRY(pair.control_before, unpack_window_or_empty(row.blob(6)));
    TRY(pair.canary_now, unpack_window_or_empty(row.blob(7)));
    TRY(pair.control_now, unpack_window_or_empty(row.blob(8)));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Result<> GateStore::set_start(const std::string& rollout, const GatePairRow& row) {
  TRY(auto canary_before, packed(row.canary_before));
  TRY(auto control_before, packed(row.control_before));
  return execute(database_,
                 "update gate_pairs set started_ms = $3, canary_before = $4, control_before = $5 "
                 "where rollout = $1 and number = $2",
                 {rollout, row.number, row.started_ms, std::move(canary_before), std::move(control_before)});
}

Result<> GateStore::set_now(const std::string& rollout, const GatePairRow& row) {
  TRY(auto canary_now, packed(row.canary_now));
  TRY(auto control_now, packed(row.control_now));
  return execute(
      database_,
      "update gate_pairs set canary_heard_ms = $3, control_heard_ms = $4, canary_now = $5, "
      "control_now = $6 where rollout = $1 and number = $2",
      {rollout, row.number, row.canary_heard_ms, row.control_heard_ms, std::move(canary_now), std::move(control_now)});
}

Result<> GateStore::set_evidence(const std::string& rollout, std::int64_t number, const std::string& evidence) {
  return execute(database_, "update gate_pairs set evidence = $3 where rollout = $1 and number = $2",
                 {rollout, number, evidence});
}

Result<> GateStore::add_verdict(const std::string& rollout, const VerdictRecord& record) {
  TRY(auto rows,
      database_.query("select coalesce(max(number), 0) + 1 from gate_verdicts where rollout = $1", {rollout}));
  const std::int64_t number = rows.front().integer(0);
  TRY_VOID(execute(database_,
                   "insert into gate_verdicts (rollout, number, at_ms, decision, body) "
                   "values ($1, $2, $3, $4, $5)",
                   {rollout, number, record.at_ms, record.decision, record.body}));
  return execute(database_, "delete from gate_verdicts where rollout = $1 and number <= $2",
                 {rollout, number - verdict_records_max});
}

Result<std::vector<VerdictRecord>> GateStore::verdicts(const std::string& rollout, std::int64_t limit) {
  TRY(auto rows, database_.query("select at_ms, decision, body from gate_verdicts where rollout = $1 "
                                 "order by number desc limit $2",
                                 {rollout, limit}));
  std::vector<VerdictRecord> records;
  for (const Row& row : rows) records.push_back({row.integer(0), row.text(1), row.text(2)});
  return records;
}

}  // namespace ferry::server
