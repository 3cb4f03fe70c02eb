// Uploads of a fleet against several receivers in turns (A B C A B C …), each charged with the CPU time that its
// processes used meanwhile: uploads of the same information per CPU-second.
//   bench_telemetry_load <plan.json>      prints one JSON document
#include "telemetry/reference_profile.hpp"
#include "tests/bench/support.hpp"
#include "tests/bench/upload_source.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

constexpr std::size_t plan_bytes_max = 1024 * 1024;
constexpr double block_seconds_max = 60;  // a block ends with its uploads

struct Receiver {
  Target target;
  std::unique_ptr<UploadSource> source;
  std::size_t uploads_each = 0;  // per connection and block
  std::unique_ptr<LoadPool> pool;
  std::vector<double> per_cpu_s, per_s, cpu_share, p50_us, p99_us;
  std::uint64_t uploads = 0;
};

struct Plan {
  TlsClients clients;
  std::vector<Receiver> receivers;
  std::int64_t rounds = 0;
};

Result<UploadForm> form_of(const std::string& name) {
  if (name == "ferry") return UploadForm::ferry;
  if (name == "text") return UploadForm::text;
  if (name == "otlp") return UploadForm::otlp;
  return Error{Errc::bad_input, "form: found \"" + name + "\", expected ferry, text or otlp"};
}

Result<UploadOrigin> read_origin(const Json& document) {
  UploadOrigin origin;
  TRY(const Json* release, object_at(document, "release"));
  TRY(origin.key.model, string_at(*release, "model"));
  TRY(origin.key.version, string_at(*release, "version"));
  TRY(origin.key.manifest_sha256, string_at(*release, "manifest_sha256"));
  origin.key.slot = "a";
  TRY(const std::string path, string_at(*release, "reference"));
  TRY(const std::string text, read_file(path, telemetry::reference_bytes_max));
  TRY(const auto profile, telemetry::parse_reference_profile(text));
  origin.edges = profile.edges();
  return origin;
}

Result<Receiver> read_receiver(const Json& entry, std::size_t connections, const UploadOrigin& origin) {
  Receiver receiver;
  Target& target = receiver.target;
  TRY(target.name, string_at(entry, "name"));
  TRY(const std::int64_t port, integer_at(entry, "port", 1, 65'535));
  target.port = static_cast<std::uint16_t>(port);
  TRY(target.path, string_at(entry, "path"));
  TRY(target.tls, bool_at(entry, "tls"));
  TRY(const std::string form_name, string_at(entry, "form"));
  TRY(const UploadForm form, form_of(form_name));
  TRY(const Json* pids, array_at(entry, "pids"));
  for (const Json& pid : *pids) target.pids.push_back(pid.get<int>());
  TRY(const std::int64_t uploads, integer_at(entry, "uploads", 1, 1'000'000));
  receiver.uploads_each = std::max<std::size_t>(1, static_cast<std::size_t>(uploads) / connections);
  receiver.source = std::make_unique<UploadSource>(form, target.path, connections, origin);
  target.source = receiver.source.get();
  return receiver;
}

Result<Plan> read_plan(const Path& path) {
  TRY(const std::string text, read_file(path, plan_bytes_max));
  TRY(const Json document, parse_json(text));
  Plan plan;
  TRY(plan.rounds, integer_at(document, "rounds", 1, 1000));
  TRY(plan.clients.ca_file, string_at(document, "ca"));
  TRY(plan.clients.server_name, string_at(document, "server_name"));
  TRY(const Json* identities, array_at(document, "identities"));
  for (const Json& entry : *identities) {
    ClientIdentity identity;
    TRY(identity.certificate_file, string_at(entry, "certificate"));
    TRY(identity.key_file, string_at(entry, "key"));
    plan.clients.identities.push_back(std::move(identity));
  }
  plan.clients.connections = plan.clients.identities.size();
  TRY(const UploadOrigin origin, read_origin(document));
  TRY(const Json* targets, array_at(document, "targets"));
  for (const Json& entry : *targets) {
    TRY(auto receiver, read_receiver(entry, plan.clients.connections, origin));
    plan.receivers.push_back(std::move(receiver));
  }
  return plan;
}

Result<> run_block(Receiver& receiver) {
  receiver.source->prepare(receiver.uploads_each);
  TRY(const Block block, receiver.pool->run(block_seconds_max));
  if (receiver.source->left() > 0) return Error{Errc::timeout, receiver.target.name + ": a block took too long"};
  const auto uploads = static_cast<double>(block.latencies_us.size());
  receiver.uploads += block.latencies_us.size();
  receiver.per_cpu_s.push_back(uploads / block.server_cpu_seconds);
  receiver.per_s.push_back(uploads / block.seconds);
  receiver.cpu_share.push_back(block.server_cpu_seconds / block.seconds);
  receiver.p50_us.push_back(percentile(block.latencies_us, 0.50));
  receiver.p99_us.push_back(percentile(block.latencies_us, 0.99));
  return {};
}

Json told(const Receiver& receiver) {
  Json entry = Json::object();
  entry["name"] = receiver.target.name;
  entry["uploads"] = receiver.uploads;
  entry["text_samples"] = receiver.source->text_samples();
  entry["uploads_per_cpu_s"] = spread(receiver.per_cpu_s);
  entry["uploads_per_s"] = spread(receiver.per_s);
  entry["server_cpu_share"] = spread(receiver.cpu_share);
  entry["p50_us"] = spread(receiver.p50_us);
  entry["p99_us"] = spread(receiver.p99_us);
  return entry;
}

Result<Json> measure(const Path& plan_path) {
  TRY(Plan plan, read_plan(plan_path));
  for (Receiver& receiver : plan.receivers) {
    receiver.source->prepare(1);
    TRY(receiver.pool, LoadPool::open(plan.clients, receiver.target));
    TRY_VOID(run_block(receiver));  // to warm up: it counts for nothing
    for (auto* samples :
         {&receiver.per_cpu_s, &receiver.per_s, &receiver.cpu_share, &receiver.p50_us, &receiver.p99_us})
      samples->clear();
  }
  for (std::int64_t round = 0; round < plan.rounds; ++round)
    for (Receiver& receiver : plan.receivers) TRY_VOID(run_block(receiver));
  Json result = Json::object();
  result["devices"] = plan.clients.connections;
  result["targets"] = Json::array();
  for (const Receiver& receiver : plan.receivers) result["targets"].push_back(told(receiver));
  return result;
}

}  // namespace
}  // namespace ferry::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_telemetry_load <plan.json>\n");
    return 2;
  }
  return ferry::bench::finish(ferry::bench::measure(argv[1]));
}
