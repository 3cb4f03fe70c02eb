// `ferry rollout`: create, watch and steer rollouts.
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "common/config.hpp"
#include "telemetry/judge_record.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr Duration status_interval = std::chrono::milliseconds{500};

struct CreateOptions {
  std::string release, selector = "*", policy, name;
  bool wait = false, dry_run = false, lift_quarantine = false;
  std::int64_t timeout_s = 3600;
};

// rollout.toml: [[phases]], [rollout], [site_budget], [window], [penalty], [trial], [gate] -> the API's policy object.
// The server checks the values.
Result<Json> policy_of(const Json& document) {
  TRY_VOID(only_known_fields(document, {"phases", "rollout", "site_budget", "window", "penalty", "trial", "gate"}));
  Json policy = document;
  policy.erase("rollout");
  if (!document.contains("rollout")) return policy;
  TRY(const Json* rollout, object_at(document, "rollout"));
  if (auto known =
          only_known_fields(*rollout, {"failures_max", "failures_percent_max", "executed_min", "success_percent_min",
                                       "device_timeout_s", "in_flight_max", "starts_at", "approvals"});
      !known)
    return std::move(known).error().within("[rollout]");
  policy.update(*rollout);
  return policy;
}

Result<Json> read_policy(const std::string& file) {
  TRY(const Json document, read_toml(file));
  auto policy = policy_of(document);
  if (!policy) return std::move(policy).error().within(file);
  return policy;
}

void print_rollout(Session& session, const Json& rollout) {
  if (session.json()) {
    session.out() << dump_json(rollout) << '\n';
    return;
  }
  print_fields(session.out(), rollout,
               {{"rollout", "id"},
                {"model", "model"},
                {"version", "version"},
                {"state", "state"},
                {"reason", "reason"},
                {"phase", "phase"},
                {"selector", "selector"},
                {"created", "created_ms"},
                {"ended", "ended_ms"},
                {"devices", "devices"}});
  print_section(
      session.out(), "phases", rollout, "phases",
      {{"SIZE", "size"}, {"SOAK S", "soak_s"}, {"STATE", "state"}, {"DEVICES", "devices"}, {"COUNTS", "counts"}});
  print_section(session.out(), "failures", rollout, "failures",
                {{"REASON", "reason"}, {"COUNT", "count"}, {"DEVICES", "devices"}});
  print_section(
      session.out(), "log, newest first", rollout, "log",
      {{"AT", "at_ms"}, {"VERDICT", "verdict"}, {"DECISION", "decision"}, {"DETAIL", "detail"}, {"BY", "by"}});
}

bool ended(const std::string& state) {
  return state == "done" || state == "failed" || state == "aborted" || state == "denied";
}

void print_preview(Session& session, const Json& preview) {
  if (session.json()) {
    session.out() << dump_json(preview) << '\n';
    return;
  }
  print_fields(session.out(), preview,
               {{"model", "model"},
                {"from", "from_version"},
                {"to", "version"},
                {"selected", "selected"},
                {"variants", "variants"}});
  print_section(session.out(), "phases", preview, "phases", {{"SIZE", "size"}, {"DEVICES", "devices"}});
  print_section(session.out(), preview.value("truncated", false) ? "devices, the first of them" : "devices", preview,
                "items",
                {{"DEVICE", "device"},
                 {"PHASE", "phase"},
                 {"ARM", "arm"},
                 {"CLASS", "hardware_class"},
                 {"VARIANT", "variant"},
                 {"REASON", "reason"}});
}

bool passes(Errc code) { return code == Errc::unreachable || code == Errc::unavailable; }

// Exit 8 when it failed or was aborted, 9 when the time is over and it still runs. A server that answered before and is
// away for a while (an update, a restart) ends no wait: the rollout goes on without us.
Result<int> wait_for_end(Session& session, ServerClient& server, const std::string& id, std::int64_t timeout_s) {
  Sleeper sleeper(session.clock());
  const auto deadline = session.clock().monotonic() + std::chrono::seconds{timeout_s};
  bool answered = false;
  std::string last;
  const auto tell = [&](const std::string& line) {
    if (line != last) session.say(line);
    last = line;
  };
  for (;;) {
    const auto rollout = server.get("/rollouts/" + ServerClient::segment(id));
    const bool late = session.clock().monotonic() >= deadline;
    if (rollout) {
      answered = true;
      TRY(const std::string state, string_at(*rollout, "state"));
      tell(fmt::format("{} {} {}", id, state, cell(*rollout, "devices")));
      if (ended(state)) {
        print_rollout(session, *rollout);
        return state == "done" ? exit_ok : exit_rollout_failed;
      }
      if (late) {
        session.say("still running: " + id);
        return exit_timeout;
      }
    } else {
      if (!answered || late || !passes(rollout.error().code)) return rollout.error();
      tell("waiting for the server: " + rollout.error().context);
    }
    sleeper.sleep(status_interval);
  }
}

Result<int> create(Session& session, const CreateOptions& options) {
  TRY(const ReleaseName name, parse_release_name(options.release));
  Json body{{"model", name.model}, {"version", name.version}, {"selector", options.selector}};
  if (!options.name.empty()) body["name"] = options.name;
  if (!options.policy.empty()) {
    TRY(body["policy"], read_policy(options.policy));
  }
  if (options.lift_quarantine) body["lift_quarantine"] = true;
  TRY(ServerClient server, session.server());
  if (options.dry_run) {
    TRY(const Json preview, server.post("/rollouts?dry_run=true", body));
    print_preview(session, preview);
    return exit_ok;
  }
  TRY(const Json rollout, server.post("/rollouts", body));
  TRY(const std::string id, string_at(rollout, "id"));
  if (options.wait) return wait_for_end(session, server, id, options.timeout_s);
  session.say("created " + id + "; watch it: ferry rollout wait " + id);
  print_rollout(session, rollout);
  return exit_ok;
}

Result<int> list(Session& session) {
  TRY(ServerClient server, session.server());
  TRY(const Json items, server.list("/rollouts"));
  print_items(session, items,
              {{"ROLLOUT", "id"},
               {"MODEL", "model"},
               {"VERSION", "version"},
               {"STATE", "state"},
               {"PHASE", "phase"},
               {"DEVICES", "devices"},
               {"CREATED", "created_ms"}});
  return exit_ok;
}

Result<int> show(Session& session, const std::string& id) {
  TRY(ServerClient server, session.server());
  TRY(const Json rollout, server.get("/rollouts/" + ServerClient::segment(id)));
  print_rollout(session, rollout);
  return exit_ok;
}

// The live gate's verdict, computed again here from the evidence on record: the server's word alone is not taken.
Result<int> explain(Session& session, const std::string& id) {
  TRY(ServerClient server, session.server());
  TRY(const std::string text, server.get_text("/rollouts/" + ServerClient::segment(id) + "/verdict"));
  TRY(const telemetry::VerdictRecord record, telemetry::parse_verdict(text));
  const bool honest = telemetry::recompute(record) == record.verdict;
  if (session.json()) {
    session.out() << text << '\n';
  } else {
    for (const std::string& sentence : telemetry::explain(record)) session.out() << without_controls(sentence) << '\n';
    session.out() << (honest ? "recomputed: the same verdict\n" : "recomputed: ANOTHER verdict than the record's\n");
  }
  if (!honest)
    return Error{Errc::bad_signature, "rollout " + id + ": the verdict on record is not what its evidence gives"};
  return exit_ok;
}

// The state seen goes along as If-Match, so that two people cannot steer against each other unknowingly.
Result<int> act(Session& session, const std::string& id, const std::string& action, const std::string& reason) {
  TRY(ServerClient server, session.server());
  const std::string path = "/rollouts/" + ServerClient::segment(id);
  TRY(const Json rollout, server.get(path));
  TRY(const std::int64_t revision, integer_at(rollout, "revision", 0));
  Json body = Json::object();
  if (!reason.empty()) body["reason"] = reason;
  TRY(const Json answer, server.post(path + ":" + action, body, "\"" + std::to_string(revision) + "\""));
  print_rollout(session, answer);
  return exit_ok;
}

}  // namespace

void add_rollout_commands(Registry& registry) {
  auto* rollout = registry.app.add_subcommand("rollout", "Rollouts: create, watch, steer");
  rollout->require_subcommand(1);

  auto options = std::make_shared<CreateOptions>();
  auto* make = rollout->add_subcommand("create", "Move a selection of devices to a release, in phases");
  make->add_option("release", options->release, "model@version")->required();
  make->add_option("--selector", options->selector, "* or label.key=value,…");
  make->add_option("--policy", options->policy, "rollout.toml");
  make->add_option("--name", options->name, "A name for people");
  make->add_flag("--dry-run", options->dry_run, "Make nothing: list which device would take it when, in which variant");
  make->add_flag("--lift-quarantine", options->lift_quarantine, "Also when a rollout of this release failed before");
  make->add_flag("--wait", options->wait, "Stay until it ends. Exit 8: failed, 9: still running at the timeout");
  make->add_option("--timeout", options->timeout_s, "Seconds to wait")->check(CLI::Range(1, 7 * 24 * 3600));
  make->callback(
      [&registry, options] { registry.chosen = [options](Session& session) { return create(session, *options); }; });
  rollout->add_subcommand("list", "All rollouts")->callback([&registry] { registry.chosen = list; });

  auto id = std::make_shared<std::string>();
  auto timeout = std::make_shared<std::int64_t>(3600);
  auto* look = rollout->add_subcommand("show", "One rollout");
  look->add_option("rollout", *id, "ro-…")->required();
  look->callback([&registry, id] { registry.chosen = [id](Session& session) { return show(session, *id); }; });
  auto* why = rollout->add_subcommand("explain", "The live gate's verdict, computed again from its evidence");
  why->add_option("rollout", *id, "ro-…")->required();
  why->callback([&registry, id] { registry.chosen = [id](Session& session) { return explain(session, *id); }; });
  auto* wait = rollout->add_subcommand("wait", "Wait for its end");
  wait->add_option("rollout", *id, "ro-…")->required();
  wait->add_option("--timeout", *timeout, "Seconds")->check(CLI::Range(1, 7 * 24 * 3600));
  wait->callback([&registry, id, timeout] {
    registry.chosen = [id, timeout](Session& session) -> Result<int> {
      TRY(ServerClient server, session.server());
      return wait_for_end(session, server, *id, *timeout);
    };
  });
  auto reason = std::make_shared<std::string>();
  for (const auto& [action, help] :
       {std::pair{"approve", "Say yes to a rollout that waits for approval"},
        std::pair{"deny", "Say no to it; that ends it"}, std::pair{"pause", "Offer it to no further device"},
        std::pair{"resume", "Go on after a pause"},
        std::pair{"retry", "Offer it again to devices that timed out or failed to install"},
        std::pair{"promote", "Go on to the next phase now"}, std::pair{"abort", "End it; devices keep what they run"},
        std::pair{"rollback", "End it and order the release off every device that took it"}}) {
    auto* steer = rollout->add_subcommand(action, help);
    steer->add_option("rollout", *id, "ro-…")->required();
    steer->add_option("--reason", *reason, "Why, for the rollout's log");
    steer->callback([&registry, id, reason, name = std::string(action)] {
      registry.chosen = [id, reason, name](Session& session) { return act(session, *id, name, *reason); };
    });
  }
}

}  // namespace ferry::cli
