// SQL of rollouts.
#include "server/store/rollouts.hpp"

#include <nlohmann/json.hpp>

namespace ferry::server {
Result<> RolloutStore::add_log(Database& database, const std::string& id, const std::vector<Verdict>& log) {
  if (log.empty()) return {};
  TRY(auto rows, database.query("select coalesce(max(number), 0) + 1 from rollout_log where rollout = $1", {id}));
  std::int64_t number = rows.front().integer(0);
  for (const Verdict& entry : log) {
    TRY_VOID(execute(database,
                     "insert into rollout_log (rollout, number, at_ms, phase, verdict, decision, detail, actor) "
                     "values ($1, $2, $3, $4, $5, $6, $7, $8)",
                     {id, number, entry.at_ms, static_cast<std::int64_t>(entry.phase), entry.verdict, entry.decision,
                      entry.detail, entry.by}));
    ++number;
  }
  return execute(database, "delete from rollout_log where rollout = $1 and number <= $2",
                 {id, number - 1 - rollout_log_entries_max});
}

Result<> RolloutStore::insert(const RolloutPlan& plan, const Decision& first) {
  return database_.transaction([&](Database& database) -> Result<> {
    TRY_VOID(execute(database, "insert into rollouts (id, model, created_ms, plan, head) values ($1, $2, $3, $4, $5)",
                     {plan.id, plan.model, plan.created_ms, dump_json(to_json(plan)), dump_json(to_json(first.head))}));
    return add_log(database, plan.id, first.log);
  });
}

Result<> RolloutStore::save(const std::string& id, const Decision& decision) {
  return database_.transaction([&](Database& database) -> Result<> {
    TRY_VOID(execute(database, "update rollouts set head = $2 where id = $1", {id, dump_json(to_json(decision.head))}));
    for (const auto& [device, progress] : decision.devices)
      TRY_VOID(execute(database,
                       "insert into rollout_devices (rollout, device, state, offered_ms, since_ms, reason, site, "
                       "attempts) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (rollout, device) do update "
                       "set state = $3, offered_ms = $4, since_ms = $5, reason = $6, site = $7, attempts = $8",
                       {id, device, std::string(to_string(progress.state)), progress.offered_ms, progress.since_ms,
                        progress.reason, progress.site, progress.attempts}));
    return add_log(database, id, decision.log);
  });
}

Result<std::vector<std::string>> RolloutStore::newest(std::int64_t per_model) {
  TRY(auto rows,
      database_.query("select id from (select id, created_ms, row_number() over (partition by model order by "
                      "created_ms desc, id desc) as place from rollouts) as ranked where place <= $1 "
                      "order by created_ms desc, id desc",
                      {per_model}));
  std::vector<std::string> ids;
  for (const Row& row : rows) ids.push_back(row.text(0));
  return ids;
}

Result<Rollout> RolloutStore::load(const std::string& id) {
  TRY(auto rows, database_.query("select plan, head from rollouts where id = $1", {id}));
  if (rows.empty()) return Error{Errc::not_found, "rollout " + id.substr(0, 80) + ": not known"};
  Rollout rollout;
  TRY(Json plan, parse_json(rows.front().text(0)));
  TRY(Json head, parse_json(rows.front().text(1)));
  TRY(rollout.plan, rollout_plan_from_json(plan));
  index_pairs(rollout);
  TRY(rollout.head, rollout_head_from_json(head));
  TRY(auto devices,
      database_.query("select device, state, offered_ms, since_ms, reason, site, attempts from rollout_devices "
                      "where rollout = $1",
                      {id}));
  Decision restored;
  restored.head = rollout.head;
  for (const Row& row : devices) {
    TRY(auto state, parse_progress(row.text(1)));
    restored.devices.emplace_back(
        row.text(0), DeviceProgress{state, row.integer(2), row.integer(3), row.text(4), row.text(5), row.integer(6)});
  }
  apply(rollout, restored);
  return rollout;
}

Result<std::vector<Verdict>> RolloutStore::log(const std::string& id) {
  TRY(auto rows,
      database_.query("select at_ms, phase, verdict, decision, detail, actor from rollout_log where rollout = $1 "
                      "order by number desc limit $2",
                      {id, rollout_log_shown_max}));
  std::vector<Verdict> log;
  for (const Row& row : rows)
    log.push_back(
        {row.integer(0), static_cast<std::size_t>(row.integer(1)), row.text(2), row.text(3), row.text(4), row.text(5)});
  return log;
}

}  // namespace ferry::server
