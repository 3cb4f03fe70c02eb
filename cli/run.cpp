// The command line as a whole: global flags, the sub-commands, errors for people, exit codes.
#include "cli/cli.hpp"
#include "cli/output.hpp"

#include "ota/manifest.hpp"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

namespace ferry::cli {
namespace {

constexpr const char* version_text = "ferry 0.1.0";

const char* fix_for(Errc code) {
  switch (code) {
    case Errc::denied:
      return "check the token (FERRY_TOKEN_FILE) and its role";
    case Errc::unreachable:
      return "check FERRY_SERVER, FERRY_CA_FILE and that ferryd runs";
    case Errc::unavailable:
      return "the server is busy: try again";
    case Errc::gate_failed:
      return "read the gate report (ferry gate show); only a release that passed its gate goes out";
    case Errc::gate_hold:
      return "give the gate more samples, or a quieter machine";
    case Errc::conflict:
      return "look at the present state and try again";
    case Errc::bad_signature:
      return "do not go on with these bytes: find out who changed them, or which key or certificate is the right one";
    default:
      return nullptr;
  }
}

void print_error(Session& session, const Error& error) {
  if (session.json()) {
    Json problem{{"code", to_string(error.code)}, {"detail", error.context}};
    if (!error.reason.empty()) problem["reason"] = error.reason;
    if (const char* fix = fix_for(error.code)) problem["fix"] = fix;
    session.err() << dump_json(problem) << '\n';
    return;
  }
  session.err() << "error: " << without_controls(error.context) << '\n';
  if (!error.reason.empty()) session.err() << "reason: " << without_controls(error.reason) << '\n';
  if (const char* fix = fix_for(error.code)) session.err() << "fix: " << fix << '\n';
}

// CLI11 says only that a sub-command is missing when there is one that it does not know.
std::string unknown_command(CLI::App& app, int argc, const char* const* argv) {
  CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with('-')) {
      const CLI::Option* option = app.get_option_no_throw(word);
      if (option && option->get_items_expected_max() > 0) ++i;  // its value
      continue;
    }
    const auto commands = at->get_subcommands([](CLI::App*) { return true; });
    if (commands.empty()) return {};
    const auto found =
        std::find_if(commands.begin(), commands.end(), [&](const CLI::App* one) { return one->get_name() == word; });
    if (found != commands.end()) {
      at = *found;
      continue;
    }
    std::string names;
    for (const CLI::App* one : commands) names += (names.empty() ? "" : ", ") + one->get_name();
    return "unknown command '" + without_controls(word) + "': expected one of " + names;
  }
  return {};
}

int usage_error(CLI::App& app, const CLI::ParseError& problem, int argc, const char* const* argv, std::ostream& out,
                std::ostream& err) {
  const std::string unknown = problem.get_exit_code() == 0 ? "" : unknown_command(app, argc, argv);
  if (unknown.empty()) return app.exit(problem, out, err) == 0 ? exit_ok : exit_usage;
  err << "error: " << unknown << "\nRun with --help for more information.\n";
  return exit_usage;
}

}  // namespace

Result<ReleaseName> parse_release_name(const std::string& text) {
  const std::size_t at = text.find('@');
  if (at == std::string::npos) return Error{Errc::bad_input, "'" + text + "': expected model@version"};
  ReleaseName name{text.substr(0, at), text.substr(at + 1)};
  TRY_VOID(ota::check_model_name(name.model));
  TRY_VOID(ota::check_version(name.version));
  return name;
}

int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err, Clock& clock, Random& random) {
  CLI::App app{"Carries machine-learning models to fleets of edge devices and keeps them honest there", "ferry"};
  Session session(out, err, clock, random);
  app.fallthrough();
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text);
  app.add_option("--server", session.globals.server, "Operator API of ferryd, https://host:port (FERRY_SERVER)");
  app.add_option("--token-file", session.globals.token_file,
                 "File with the bearer token (FERRY_TOKEN_FILE, FERRY_TOKEN)");
  app.add_option("--ca-file", session.globals.ca_file, "CA certificate of the server, PEM (FERRY_CA_FILE)");
  app.add_option("-o,--output", session.globals.output, "table | json")
      ->check(CLI::IsMember({"table", "json"}))
      ->envname("FERRY_OUTPUT");
  app.add_flag("-q,--quiet", session.globals.quiet, "No messages, only data");

  Registry registry{app, session, {}};
  add_key_commands(registry);
  add_bundle_commands(registry);
  add_gate_commands(registry);
  add_release_commands(registry);
  add_rollout_commands(registry);
  add_device_commands(registry);
  add_token_commands(registry);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return usage_error(app, problem, argc, argv, out, err);
  }
  try {
    auto code = registry.chosen(session);
    if (code) return *code;
    print_error(session, code.error());
    return exit_code_of(code.error().code);
  } catch (const std::exception& bug) {
    print_error(session, {Errc::internal, std::string("internal error, please report it: ") + bug.what()});
    return exit_failure;
  }
}

}  // namespace ferry::cli
