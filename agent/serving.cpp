// Putting the serving half together: one server with one io thread, its socket, its loopback port, its routes.
#include "agent/serving.hpp"

#include "agent/runtime_activator.hpp"

namespace ferry::agent {
namespace {

// Local applications, not the internet: few connections, one core.
http::ServerLimits local_limits() {
  http::ServerLimits limits;
  limits.connections_max = 256;
  limits.threads = 1;           // models live on it
  limits.blocking_threads = 1;  // the status document
  limits.idle_limit = std::chrono::hours{1};
  limits.drain_limit = std::chrono::seconds{5};
  return limits;
}

}  // namespace

RuntimeActivator::RuntimeActivator(ServingOptions options, WorkerLimits worker_limits, ServedLimits served_limits,
                                   Clock& clock, Log& log)
    : options_(std::move(options)),
      launch_{options_.worker_program, options_.runtime_library, worker_limits},
      served_limits_(served_limits),
      clock_(clock),
      log_(log),
      api_(options_, models_, clock_) {
  http::Router router;
  api_.add_routes(router);
  http::Listen unix_socket;
  unix_socket.address = socket().string();
  unix_socket.unix_socket = true;
  http::Listen loopback;
  loopback.address = options_.http_address;
  loopback.port = options_.http_port;
  server_ = std::make_unique<http::Server>(std::move(router), std::vector{unix_socket, loopback}, local_limits(), log_);
}

RuntimeActivator::~RuntimeActivator() { close(); }

Result<> RuntimeActivator::open() {
  TRY_VOID(make_directories(socket().parent_path()));
  TRY_VOID(server_->start());
  open_ = true;
  return {};
}

void RuntimeActivator::close() {
  on_io_now([this] {
    for (auto& [name, model] : models_) model->close();
  });
  server_->stop();  // connections drain while workers still answer
  open_ = false;    // whoever waits for the io thread stops waiting
  // Nothing runs on the io thread any more. Instances hold sockets and timers of its context, and so do handlers that
  // still wait in it: the workers are told to end here, and what is left of them ends with the server.
  models_.clear();
}

std::string RuntimeActivator::url() const {
  return "http://" + options_.http_address + ":" + std::to_string(server_->port(1));
}

Path RuntimeActivator::socket() const { return options_.data / "run" / "infer.sock"; }

std::unique_ptr<Serving> make_serving(ServingOptions options, Clock& clock, Random&, Log& log) {
  return std::make_unique<RuntimeActivator>(std::move(options), WorkerLimits{}, ServedLimits{}, clock, log);
}

}  // namespace ferry::agent
