#include "common/http/router.hpp"

#include "common/http/internal/target.hpp"

#include <set>
#include <stdexcept>

namespace ferry::http {
namespace {

[[noreturn]] void refuse(const Route& route, const std::string& why) {
  throw std::logic_error("route " + route.method + " " + route.pattern + ": " + why);
}

bool is_parameter(std::string_view part) { return part.size() > 2 && part.front() == '{' && part.back() == '}'; }

}  // namespace

void Router::add(Route route) {
  if (int(bool(route.quick)) + int(bool(route.blocking)) + int(bool(route.async)) != 1)
    refuse(route, "needs exactly one of quick, blocking and async");
  if (route.pattern.empty() || route.pattern.front() != '/') refuse(route, "the pattern must begin with '/'");
  if (route.label.empty()) route.label = route.pattern;
  std::vector<std::string> names;
  std::size_t node = 0;
  bool rest = false;
  for (const std::string_view part : internal::split_path(route.pattern)) {
    if (rest) refuse(route, "'{name...}' must be the last part");
    if (!is_parameter(part)) {
      const auto child = nodes_[node].fixed.try_emplace(std::string(part), nodes_.size());
      node = child.first->second;
      if (child.second) nodes_.emplace_back();
      continue;
    }
    std::string name(part.substr(1, part.size() - 2));
    if (name.ends_with("...")) {
      name.resize(name.size() - 3);
      rest = true;
    } else {
      if (nodes_[node].any == 0) {
        nodes_[node].any = nodes_.size();
        nodes_.emplace_back();
      }
      node = nodes_[node].any;
    }
    names.push_back(std::move(name));
  }
  auto& here = rest ? nodes_[node].rest_routes : nodes_[node].routes;
  for (const std::size_t other : here)
    if (routes_[other].method == route.method) refuse(route, "is there twice");
  here.push_back(routes_.size());
  routes_.push_back(std::move(route));
  names_.push_back(std::move(names));
}

const Route* Router::pick(const std::vector<std::size_t>& routes, std::string_view method) const {
  for (const std::size_t index : routes)
    if (routes_[index].method == method) return &routes_[index];
  if (method != "HEAD") return nullptr;
  for (const std::size_t index : routes)
    if (routes_[index].method == "GET") return &routes_[index];
  return nullptr;
}

// Depth first, fixed before any before rest. An empty `method` takes the first place where anything is.
bool Router::walk(std::size_t node, const std::vector<std::string>& parts, std::size_t at, std::string_view method,
                  Found& found) const {
  const Node& here = nodes_[node];
  const auto fits = [&](const std::vector<std::size_t>& routes) {
    if (routes.empty() || (!method.empty() && !pick(routes, method))) return false;
    found.routes = &routes;
    return true;
  };
  if (at == parts.size()) return fits(here.routes);
  if (const auto child = here.fixed.find(parts[at]);
      child != here.fixed.end() && walk(child->second, parts, at + 1, method, found))
    return true;
  if (here.any != 0 && !parts[at].empty()) {
    found.values.push_back(parts[at]);
    if (walk(here.any, parts, at + 1, method, found)) return true;
    found.values.pop_back();
  }
  if (!fits(here.rest_routes)) return false;
  std::string rest = parts[at];
  for (std::size_t i = at + 1; i < parts.size(); ++i) rest += "/" + parts[i];
  found.values.push_back(std::move(rest));
  return true;
}

namespace {

std::optional<std::vector<std::string>> decoded_parts(std::string_view path) {
  std::vector<std::string> parts;
  for (const std::string_view part : internal::split_path(path)) {
    auto text = internal::percent_decode(part);
    if (!text) return std::nullopt;
    parts.push_back(std::move(*text));
  }
  return parts;
}

}  // namespace

Result<Router::Match> Router::find(std::string_view method, std::string_view path) const {
  const auto parts = decoded_parts(path);
  if (!parts) return Error{Errc::bad_input, "path '" + std::string(path) + "': a percent escape is broken"};
  Found found;
  // An empty method would mean "any" to walk().
  if (!method.empty() && walk(0, *parts, 0, method, found)) {
    Match match{pick(*found.routes, method), {}};
    const auto& names = names_[static_cast<std::size_t>(match.route - routes_.data())];
    for (std::size_t i = 0; i < names.size(); ++i) match.params.emplace(names[i], std::move(found.values[i]));
    return match;
  }
  Found any;
  if (walk(0, *parts, 0, {}, any))
    return Error{Errc::unsupported, "method " + std::string(method.substr(0, 20)) + " is not offered here"};
  return Error{Errc::not_found, "nothing is at '" + std::string(path.substr(0, 200)) + "'"};
}

std::string Router::allowed_methods(std::string_view path) const {
  const auto parts = decoded_parts(path);
  if (!parts) return {};
  std::set<std::string> methods;
  for (const Route& route : routes_) {
    Found found;
    if (methods.count(route.method) || !walk(0, *parts, 0, route.method, found)) continue;
    methods.insert(route.method);
    if (route.method == "GET") methods.insert("HEAD");
  }
  std::string text;
  for (const std::string& method : methods) text += (text.empty() ? "" : ", ") + method;
  return text;
}

}  // namespace ferry::http
