#include "ci_gates/render.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

namespace ferry::ci_gates {
namespace {

// Length of the valid UTF-8 sequence at `at`; 0 when there is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xc2 && first < 0xe0 ? 2
                             : first >= 0xe0 && first < 0xf0 ? 3
                             : first >= 0xf0 && first < 0xf5 ? 4
                                                             : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (length < 3) return length;
  const unsigned char second = byte(at + 1);  // overlong forms, surrogates, beyond U+10FFFF
  const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
                     (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90);
  // U+FFFE and U+FFFF are no characters of XML.
  const bool no_character = first == 0xef && second == 0xbf && byte(at + 2) >= 0xbe;
  return wrong || no_character ? 0 : length;
}

std::string escaped(std::string_view text, std::string_view special, std::string (*escape)(char)) {
  std::string made;
  for (const char c : text) {
    if (special.find(c) == std::string_view::npos)
      made += c;
    else
      made += escape(c);
  }
  return made;
}

std::string entity(char c) { return fmt::format("&#{};", int(static_cast<unsigned char>(c))); }

std::string percent_code(char c) { return fmt::format("%{:02X}", int(static_cast<unsigned char>(c))); }

std::string xml(std::string_view text) { return escaped(plain_text(text), "&<>\"'", entity); }

// Markdown reads HTML and its own marks in a table's cell; as numeric entities they are text to both.
std::string cell(std::string_view text) { return escaped(plain_text(text), "&<>\"'|`*_[]\\~", entity); }

std::string command_text(std::string_view text) { return escaped(plain_text(text), "%", percent_code); }
std::string command_property(std::string_view text) { return escaped(plain_text(text), "%:,", percent_code); }

// Failed first, then held: what a reader looks for.
std::vector<const Measurement*> by_severity(const GateOutcome& outcome) {
  std::vector<const Measurement*> lines;
  for (const Measurement& line : outcome.measurements) lines.push_back(&line);
  std::stable_sort(lines.begin(), lines.end(), [](const auto* a, const auto* b) { return a->verdict > b->verdict; });
  return lines;
}

std::string release_name(const GateOutcome& outcome) { return outcome.manifest.model + "@" + outcome.manifest.version; }

// "<metric>@<class>/<variant>" without the class, which names the suite.
std::string case_name(const std::string& id) {
  const std::size_t sign = id.find('@'), slash = id.rfind('/');
  if (sign == std::string::npos || slash == std::string::npos || slash < sign) return id;
  return id.substr(0, sign) + " " + id.substr(slash + 1);
}

std::ptrdiff_t count(const GateOutcome& outcome, Verdict verdict) {
  return std::count_if(outcome.measurements.begin(), outcome.measurements.end(),
                       [&](const Measurement& line) { return line.verdict == verdict; });
}

std::string text_or_empty(const Json& report, const char* key) {
  const auto text = string_or(report, key, "");
  return text ? *text : std::string();
}

}  // namespace

std::string plain_text(std::string_view text) {
  std::string made;
  if (!text.empty() && std::string_view("=+-@").find(text.front()) != std::string_view::npos) made += '\'';
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0) {
      made += "\xef\xbf\xbd";
    } else if (byte < 0x20 || byte == 0x7f) {
      made += ' ';
    } else if (length == 2 && byte == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0) {
      made += ' ';  // C1 controls, a line end (U+0085) among them
    } else if (length == 3 && (text.substr(at, 3) == "\xe2\x80\xa8" || text.substr(at, 3) == "\xe2\x80\xa9")) {
      made += ' ';  // U+2028 and U+2029 end lines too
    } else {
      made += text.substr(at, length);
    }
    at += std::max<std::size_t>(length, 1);
  }
  return made;
}

std::string junit(const GateOutcome& outcome) {
  const std::string release = xml(release_name(outcome));
  const std::string suite = xml(outcome.hardware_class);
  const auto failures = count(outcome, Verdict::fail), errors = count(outcome, Verdict::hold);
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
  text += fmt::format("<testsuites name=\"CI gate of {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n", release,
                      outcome.measurements.size(), failures, errors);
  text += fmt::format("  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" timestamp=\"{}\">\n", suite,
                      outcome.measurements.size(), failures, errors, xml(text_or_empty(outcome.report, "startedOn")));
  for (const Measurement& line : outcome.measurements) {
    text += fmt::format("    <testcase classname=\"{}\" name=\"{}\">\n", release, xml(case_name(line.id)));
    const std::string detail = xml(line.detail);
    if (line.verdict == Verdict::fail) {
      text += fmt::format("      <failure type=\"fail\" message=\"{}\"/>\n", detail);
    } else if (line.verdict == Verdict::hold) {
      text += fmt::format("      <error type=\"hold\" message=\"not enough evidence: {}\"/>\n", detail);
    }
    text += fmt::format("      <system-out>{}</system-out>\n    </testcase>\n", detail);
  }
  text += "  </testsuite>\n</testsuites>\n";
  return text;
}

std::string markdown(const GateOutcome& outcome, std::size_t bytes_max) {
  std::string text =
      fmt::format("### CI gate of {}: **{}**\n\nOn {}; {} checks, {} failed, {} held.\n\n", cell(release_name(outcome)),
                  to_string(outcome.verdict), cell(outcome.hardware_class), outcome.measurements.size(),
                  count(outcome, Verdict::fail), count(outcome, Verdict::hold));
  text += "| check | verdict | detail |\n| --- | --- | --- |\n";
  constexpr std::size_t ending_bytes = 64;  // "… and N more …"
  if (text.size() + ending_bytes > bytes_max) return {};
  const std::vector<const Measurement*> lines = by_severity(outcome);
  std::size_t left = lines.size() + outcome.notes.size();
  const auto add = [&](const std::string& row) {
    if (text.size() + row.size() + ending_bytes > bytes_max) return false;
    text += row;
    --left;
    return true;
  };
  bool fits = true;
  for (std::size_t i = 0; fits && i < lines.size(); ++i)
    fits = add(
        fmt::format("| {} | {} | {} |\n", cell(lines[i]->id), to_string(lines[i]->verdict), cell(lines[i]->detail)));
  for (std::size_t i = 0; fits && i < outcome.notes.size(); ++i)
    fits = add(fmt::format("{}- {}\n", i == 0 ? "\n" : "", cell(outcome.notes[i])));
  if (!fits) text += fmt::format("\n… and {} more lines, cut here.\n", left);
  return text + "\n";
}

std::string workflow_commands(const GateOutcome& outcome) {
  std::string text;
  for (const Measurement* line : by_severity(outcome)) {
    if (line->verdict == Verdict::pass) continue;
    text += fmt::format("::{} title={}::{}\n", line->verdict == Verdict::fail ? "error" : "warning",
                        command_property("CI gate: " + line->id), command_text(line->detail));
  }
  return text;
}

}  // namespace ferry::ci_gates
