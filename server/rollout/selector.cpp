// Parses and matches label selectors.
#include "server/rollout/selector.hpp"

namespace ferry::server {
namespace {

constexpr std::string_view term_prefix = "label.";

bool key_character(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

Result<> check_label(std::string_view key, std::string_view value) {
  bool good = !key.empty() && key.size() <= label_key_bytes_max && key_character(key.front());
  for (char c : key) good = good && (key_character(c) || c == '.' || c == '_' || c == '-');
  if (!good)
    return Error{Errc::bad_input,
                 "label: found name \"" + std::string(key.substr(0, 80)) + "\", expected [a-z0-9][a-z0-9._-]{0,62}"};
  bool printable = value.size() <= label_value_bytes_max;
  for (char c : value)
    printable = printable && static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != ',' && c != '=';
  if (!printable)
    return Error{Errc::bad_input, "label " + std::string(key) + ": value: expected at most " +
                                      std::to_string(label_value_bytes_max) +
                                      " bytes without ',', '=' or control characters"};
  return {};
}

Result<Selector> Selector::parse(std::string_view text) {
  Selector selector;
  if (text.size() > selector_bytes_max)
    return Error{Errc::bad_input, "selector: longer than " + std::to_string(selector_bytes_max) + " bytes"};
  selector.text_ = text;
  if (text == "*") return selector;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view term = text.substr(0, comma);
    const std::size_t equals = term.find('=');
    if (!term.starts_with(term_prefix) || equals == std::string_view::npos)
      return Error{Errc::bad_input,
                   "selector: found \"" + std::string(term) + "\", expected * or label.<name>=<value>[,…]"};
    const std::string_view key = term.substr(term_prefix.size(), equals - term_prefix.size());
    const std::string_view value = term.substr(equals + 1);
    if (auto checked = check_label(key, value); !checked) return std::move(checked).error().within("selector");
    selector.terms_.emplace_back(key, value);
    if (selector.terms_.size() > selector_terms_max)
      return Error{Errc::bad_input, "selector: more than " + std::to_string(selector_terms_max) + " terms"};
    if (comma == std::string_view::npos) return selector;
    text.remove_prefix(comma + 1);
  }
}

bool Selector::matches(const Labels& labels) const {
  for (const auto& [key, value] : terms_) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

}  // namespace ferry::server
