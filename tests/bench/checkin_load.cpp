// A load of kept-alive mutual-TLS connections against several targets in turns (A B C A B C …): each block keeps one
// request under way on every connection of one target and charges it the CPU time that its processes used meanwhile.
//   bench_checkin_load <plan.json>      prints one JSON document
#include "tests/bench/support.hpp"
#include "tests/bench/tls_load.hpp"

#include <nlohmann/json.hpp>

namespace ferry::bench {
namespace {

constexpr std::size_t plan_bytes_max = 1024 * 1024;

struct Plan {
  TlsClients clients;
  std::vector<Target> targets;
  std::int64_t rounds = 0;
  double seconds = 0;
  double warm_up_seconds = 0;
};

Result<Target> read_target(const Json& entry) {
  Target target;
  TRY(target.name, string_at(entry, "name"));
  TRY(const std::int64_t port, integer_at(entry, "port", 1, 65'535));
  target.port = static_cast<std::uint16_t>(port);
  TRY(target.path, string_at(entry, "path"));
  TRY(target.conditional, bool_at(entry, "conditional"));
  TRY(const Json* pids, array_at(entry, "pids"));
  for (const Json& pid : *pids) target.pids.push_back(pid.get<int>());
  return target;
}

Result<Plan> read_plan(const Path& path) {
  TRY(const std::string text, read_file(path, plan_bytes_max));
  TRY(const Json document, parse_json(text));
  Plan plan;
  TRY(plan.rounds, integer_at(document, "rounds", 1, 1000));
  TRY(plan.seconds, number_at(document, "seconds", 0.1, 60));
  TRY(plan.warm_up_seconds, number_at(document, "warm_up_seconds", 0, 60));
  TRY(plan.clients.ca_file, string_at(document, "ca"));
  TRY(plan.clients.server_name, string_at(document, "server_name"));
  TRY(const std::int64_t connections, integer_at(document, "connections", 1, 4096));
  plan.clients.connections = static_cast<std::size_t>(connections);
  TRY(const Json* identities, array_at(document, "identities"));
  for (const Json& entry : *identities) {
    ClientIdentity identity;
    TRY(identity.certificate_file, string_at(entry, "certificate"));
    TRY(identity.key_file, string_at(entry, "key"));
    plan.clients.identities.push_back(std::move(identity));
  }
  TRY(const Json* targets, array_at(document, "targets"));
  for (const Json& entry : *targets) {
    TRY(auto target, read_target(entry));
    plan.targets.push_back(std::move(target));
  }
  return plan;
}

struct Series {
  std::vector<double> per_cpu_s, per_s, cpu_share, p50_us, p99_us;
  std::uint64_t requests = 0;
};

Json told(const Target& target, const LoadPool& pool, const Series& series) {
  Json entry = Json::object();
  entry["name"] = target.name;
  entry["requests"] = series.requests;
  entry["status"] = pool.status();
  entry["answer_bytes"] = pool.answer_bytes();
  entry["body_bytes"] = pool.body_bytes();
  entry["requests_per_cpu_s"] = spread(series.per_cpu_s);
  entry["requests_per_s"] = spread(series.per_s);
  entry["server_cpu_share"] = spread(series.cpu_share);
  entry["p50_us"] = spread(series.p50_us);
  entry["p99_us"] = spread(series.p99_us);
  return entry;
}

Result<Json> measure(const Path& plan_path) {
  TRY(const Plan plan, read_plan(plan_path));
  std::vector<std::unique_ptr<LoadPool>> pools;
  for (const Target& target : plan.targets) {
    TRY(auto pool, LoadPool::open(plan.clients, target));
    pools.push_back(std::move(pool));
  }
  std::vector<Series> series(pools.size());
  for (std::int64_t round = 0; round < plan.rounds; ++round) {
    for (std::size_t at = 0; at < pools.size(); ++at) {
      if (round == 0 && plan.warm_up_seconds > 0) TRY_VOID(pools[at]->run(plan.warm_up_seconds));
      TRY(const Block block, pools[at]->run(plan.seconds));
      Series& all = series[at];
      const auto requests = static_cast<double>(block.latencies_us.size());
      all.requests += block.latencies_us.size();
      all.per_cpu_s.push_back(requests / block.server_cpu_seconds);
      all.per_s.push_back(requests / block.seconds);
      all.cpu_share.push_back(block.server_cpu_seconds / block.seconds);
      all.p50_us.push_back(percentile(block.latencies_us, 0.50));
      all.p99_us.push_back(percentile(block.latencies_us, 0.99));
    }
  }
  Json result = Json::object();
  result["connections"] = plan.clients.connections;
  result["identities"] = plan.clients.identities.size();
  result["targets"] = Json::array();
  for (std::size_t at = 0; at < pools.size(); ++at)
    result["targets"].push_back(told(plan.targets[at], *pools[at], series[at]));
  return result;
}

}  // namespace
}  // namespace ferry::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: bench_checkin_load <plan.json>\n");
    return 2;
  }
  return ferry::bench::finish(ferry::bench::measure(argv[1]));
}
