// `ferry device` and `ferry token`: the fleet and how devices join it.
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr std::size_t timeline_items = 100;

struct TokenOptions {
  std::int64_t uses = 1, ttl_s = 3600;
  std::vector<std::string> labels;
};

// "site=oslo" pairs, and "site-" to take a label away where that has a meaning.
Result<Json> parse_labels(const std::vector<std::string>& pairs, bool may_remove) {
  Json labels = Json::object();
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos && may_remove && pair.size() > 1 && pair.ends_with('-')) {
      labels[pair.substr(0, pair.size() - 1)] = nullptr;
      continue;
    }
    if (equals == std::string::npos || equals == 0)
      return Error{Errc::bad_input,
                   "label '" + pair + "': expected key=value" + (may_remove ? ", or key- to remove it" : "")};
    labels[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return labels;
}

Result<int> list_devices(Session& session) {
  TRY(ServerClient server, session.server());
  TRY(const Json items, server.list("/devices"));
  print_items(session, items,
              {{"DEVICE", "id"},
               {"STATE", "state"},
               {"HARDWARE", "hardware_class"},
               {"LABELS", "labels"},
               {"LAST SEEN", "last_seen_ms"}});
  return exit_ok;
}

Result<int> show_device(Session& session, const std::string& id) {
  TRY(ServerClient server, session.server());
  TRY(const Json device, server.get("/devices/" + ServerClient::segment(id)));
  if (session.json()) {
    session.out() << dump_json(device) << '\n';
    return exit_ok;
  }
  print_fields(session.out(), device,
               {{"device", "id"},
                {"state", "state"},
                {"hardware", "hardware_class"},
                {"labels", "labels"},
                {"last seen", "last_seen_ms"}});
  print_section(session.out(), "models", device, "models",
                {{"MODEL", "model"},
                 {"RUNS", "active.version"},
                 {"SLOT", "active.slot"},
                 {"VARIANT", "active.variant"},
                 {"UPDATE", "update.state"},
                 {"LAST REASON", "last_reason"}});
  return exit_ok;
}

Result<int> timeline(Session& session, const std::string& id, std::size_t items_max) {
  TRY(ServerClient server, session.server());
  TRY(const Json items, server.list("/devices/" + ServerClient::segment(id) + "/timeline", items_max));
  print_items(session, items,
              {{"AT", "at_ms"},
               {"KIND", "kind"},
               {"MODEL", "model"},
               {"VERSION", "version"},
               {"STATE", "state"},
               {"REASON", "reason"},
               {"VARIANT", "variant"},
               {"SLOT", "slot"}});
  return exit_ok;
}

Result<int> label_device(Session& session, const std::string& id, const std::vector<std::string>& pairs) {
  TRY(const Json labels, parse_labels(pairs, true));
  TRY(ServerClient server, session.server());
  TRY(const Json device, server.patch("/devices/" + ServerClient::segment(id), {{"labels", labels}}));
  session.say("labelled " + id);
  if (session.json()) session.out() << dump_json(device) << '\n';
  return exit_ok;
}

Result<int> revoke_device(Session& session, const std::string& id) {
  TRY(ServerClient server, session.server());
  TRY(const Json answer, server.post("/devices/" + ServerClient::segment(id) + ":revoke", Json::object()));
  session.say("revoked " + id + ": its certificate is refused from now on");
  if (session.json()) session.out() << dump_json(answer) << '\n';
  return exit_ok;
}

Result<int> create_token(Session& session, const TokenOptions& options) {
  TRY(const Json labels, parse_labels(options.labels, false));
  TRY(ServerClient server, session.server());
  TRY(const Json token, server.post("/tokens", {{"uses", options.uses}, {"ttl_s", options.ttl_s}, {"labels", labels}}));
  TRY(const std::string text, string_at(token, "token"));
  session.say("shown once; on the device: ferry-agent enroll --token TOKEN");
  session.out() << (session.json() ? dump_json(token) : text) << '\n';
  return exit_ok;
}

Result<int> list_tokens(Session& session) {
  TRY(ServerClient server, session.server());
  TRY(const Json items, server.list("/tokens"));
  print_items(session, items,
              {{"TOKEN", "id"}, {"USES LEFT", "uses_left"}, {"EXPIRES", "expires_ms"}, {"LABELS", "labels"}});
  return exit_ok;
}

Result<int> remove_token(Session& session, const std::string& id) {
  TRY(ServerClient server, session.server());
  TRY(const Json answer, server.remove("/tokens/" + ServerClient::segment(id)));
  session.say("revoked " + id);
  return exit_ok;
}

}  // namespace

void add_device_commands(Registry& registry) {
  auto* device = registry.app.add_subcommand("device", "Devices: list, show, label, revoke");
  device->require_subcommand(1);
  device->add_subcommand("list", "All devices")->callback([&registry] { registry.chosen = list_devices; });
  auto id = std::make_shared<std::string>();
  const auto with_id = [&](const char* name, const char* help, Result<int> (*action)(Session&, const std::string&)) {
    auto* command = device->add_subcommand(name, help);
    command->add_option("device", *id, "dev-…")->required();
    command->callback(
        [&registry, id, action] { registry.chosen = [id, action](Session& session) { return action(session, *id); }; });
  };
  with_id("show", "One device with its slots", show_device);
  with_id("revoke", "Refuse its certificate from now on", revoke_device);
  auto items_max = std::make_shared<std::size_t>(timeline_items);
  auto* history = device->add_subcommand("timeline", "What happened on it, newest first");
  history->add_option("device", *id, "dev-…")->required();
  history->add_option("--limit", *items_max, "How many events")->check(CLI::Range(1, 1000));
  history->callback([&registry, id, items_max] {
    registry.chosen = [id, items_max](Session& session) { return timeline(session, *id, *items_max); };
  });
  auto labels = std::make_shared<std::vector<std::string>>();
  auto* label = device->add_subcommand("label", "Set its labels");
  label->add_option("device", *id, "dev-…")->required();
  label->add_option("labels", *labels, "key=value …; key- removes it")->required();
  label->callback([&registry, id, labels] {
    registry.chosen = [id, labels](Session& session) { return label_device(session, *id, *labels); };
  });
}

void add_token_commands(Registry& registry) {
  auto* token = registry.app.add_subcommand("token", "Enrolment tokens: create, list, revoke");
  token->require_subcommand(1);
  auto options = std::make_shared<TokenOptions>();
  auto* make = token->add_subcommand("create", "A token for new devices");
  make->add_option("--uses", options->uses, "How many devices may use it")->check(CLI::Range(1, 100'000));
  make->add_option("--ttl", options->ttl_s, "Seconds until it expires")->check(CLI::Range(60, 365 * 24 * 3600));
  make->add_option("--label", options->labels, "key=value given to the device; repeat for several");
  make->callback([&registry, options] {
    registry.chosen = [options](Session& session) { return create_token(session, *options); };
  });
  token->add_subcommand("list", "Open tokens")->callback([&registry] { registry.chosen = list_tokens; });
  auto id = std::make_shared<std::string>();
  auto* drop = token->add_subcommand("revoke", "Make a token useless");
  drop->add_option("token", *id, "tok-…")->required();
  drop->callback([&registry, id] { registry.chosen = [id](Session& session) { return remove_token(session, *id); }; });
}

}  // namespace ferry::cli
