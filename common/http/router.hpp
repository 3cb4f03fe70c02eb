// Routes as one table: what exists, who may call it, how its body is taken.
#pragma once
#include "common/http/message.hpp"

#include <string>
#include <vector>

namespace ferry::http {

using SyncHandler = std::function<Response(const Request&)>;
using AsyncHandler = std::function<boost::asio::awaitable<Response>(const Request&)>;

struct Route {
  std::string method;   // GET also answers HEAD
  std::string pattern;  // "/api/v1/devices/{id}"; "{name...}" as the last part takes the rest
  // Exactly one of the three. `quick` runs on the connection's thread and must not block; `blocking` runs on the
  // server's thread pool; `async` is a coroutine (the Request lives until it ends).
  SyncHandler quick;
  SyncHandler blocking;
  AsyncHandler async;
  // Called before the body is read: nullopt lets the request in. Use it for authentication. Must not block.
  std::function<std::optional<Response>(const Request&)> guard;
  std::size_t body_bytes_max = 64 * 1024;
  Path body_directory;  // not empty: the body goes to a new file in here, ".body-XXXXXX" (Request::body_file)
  std::string label;    // for metrics; the pattern when empty
};

class Router {
 public:
  // A fixed part of a path wins over "{id}", which wins over "{rest...}". Throws std::logic_error for a table that
  // makes no sense (two handlers, no handler, the same route twice, a bad pattern): a bug, found at start.
  void add(Route route);
  struct Match {
    const Route* route;  // valid while the Router lives and nothing is added
    std::map<std::string, std::string> params;
  };
  // `path` as received, still percent-encoded, without the query: "%2F" inside a part does not split it.
  // not_found when no pattern fits, unsupported when the path fits with other methods (405), bad_input for a broken
  // escape.
  Result<Match> find(std::string_view method, std::string_view path) const;
  // For 405's Allow: "GET, HEAD, POST"; empty when no pattern fits.
  std::string allowed_methods(std::string_view path) const;

 private:
  // A tree over path parts, as indices so that a Router copies.
  struct Node {
    std::map<std::string, std::size_t, std::less<>> fixed;
    std::size_t any = 0;  // child for "{id}"; 0: none (the root is nobody's child)
    std::vector<std::size_t> routes;
    std::vector<std::size_t> rest_routes;  // "{name...}" here
  };
  struct Found {
    const std::vector<std::size_t>* routes = nullptr;
    std::vector<std::string> values;
  };
  bool walk(std::size_t node, const std::vector<std::string>& parts, std::size_t at, std::string_view method,
            Found& found) const;
  const Route* pick(const std::vector<std::size_t>& routes, std::string_view method) const;

  std::vector<Route> routes_;
  std::vector<std::vector<std::string>> names_;  // per route: its parameters in order
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

}  // namespace ferry::http
