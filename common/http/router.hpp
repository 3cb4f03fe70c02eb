// Routes as one table: what exists, who may call it, how its body is taken.
#pragma once
#include "common/http/message.hpp"

#include <string>
#include <vector>

namespace ferry::http {

using SyncHandler = std::function<Response(const Request&)>;
using AsyncHandler = std::function<boost::asio::awaitable<Response>(const Request&)>;

struct Route {
  std::string method;
  std::string pattern;            // "/api/v1/devices/{id}"; "{name...}" as the last part takes the rest
  // Exactly one of the three. `quick` runs on the connection's thread and must not block; `blocking` runs on the
  // server's thread pool; `async` is a coroutine (the Request lives until it ends).
  SyncHandler quick;
  SyncHandler blocking;
  AsyncHandler async;
  // Called before the body is read: nullopt lets the request in. Use it for authentication.
  std::function<std::optional<Response>(const Request&)> guard;
  std::size_t body_bytes_max = 64 * 1024;
  Path body_directory;            // not empty: the body goes to a new file in here (Request::body_file)
  std::string label;              // for metrics; the pattern when empty
};

class Router {
 public:
  void add(Route route);
  struct Match {
    const Route* route;
    std::map<std::string, std::string> params;
  };
  // not_found when no pattern fits, unsupported when the path fits with other methods (405).
  Result<Match> find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace ferry::http
