#include "ci_gates/render.hpp"

#include <nlohmann/json.hpp>

using namespace ferry;
using namespace ferry::ci_gates;

namespace {

const std::string hostile =
    "</td><script>alert(1)</script> \"quoted\" 'single' & | `code` [x](javascript:1)\r\n::error::x\x1b[31m%0A\x01 \xff";

GateOutcome outcome_with(std::vector<Measurement> lines) {
  GateOutcome outcome;
  outcome.verdict = overall(lines);
  outcome.hardware_class = "x86_64-avx2-2c-16g-cpu";
  outcome.manifest.model = "fashion-mnist";
  outcome.manifest.version = "1.1.0";
  outcome.measurements = std::move(lines);
  outcome.report["startedOn"] = "2026-11-23T00:00:00Z";
  return outcome;
}

Measurement line(const std::string& metric, Verdict verdict, const std::string& detail) {
  Measurement made;
  made.id = metric + "@x86_64-avx2-2c-16g-cpu/fp32";
  made.verdict = verdict;
  made.detail = detail;
  return made;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, char c) { return std::size_t(std::count(text.begin(), text.end(), c)); }

// Every byte is a character of XML 1.0, and every '<' begins one of our own tags.
void check_xml(const std::string& text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    CHECK((byte >= 0x20 || byte == '\n'));
    if (byte != '<') continue;
    bool ours = false;
    for (const char* tag : {"<?xml ", "<testsuite", "</testsuite", "<testcase ", "</testcase>", "<failure ", "<error ",
                            "<system-out>", "</system-out>"})
      ours = ours || text.compare(at, std::string_view(tag).size(), tag) == 0;
    INFO(text.substr(at, 40));
    CHECK(ours);
  }
}

}  // namespace

TEST_CASE("plain text has no control characters, no line ends, only UTF-8, and no formula") {
  CHECK(plain_text("a\tb\nc\r\x01\x7f") == "a b c   ");
  CHECK(plain_text("déjà vu 東京 🙂") == "déjà vu 東京 🙂");
  CHECK(plain_text("\xff"
                   "a\xc3") ==
        "\xef\xbf\xbd"
        "a\xef\xbf\xbd");
  CHECK(plain_text("\xed\xa0\x80") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate
  CHECK(plain_text("\xc0\xaf") == "\xef\xbf\xbd\xef\xbf\xbd");                  // an overlong form
  CHECK(plain_text("\xef\xbf\xbe") == "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // U+FFFE
  CHECK(plain_text("a\xc2\x85"
                   "b\xe2\x80\xa8"
                   "c") == "a b c");  // U+0085, U+2028 end lines
  for (const char* formula : {"=HYPERLINK(\"x\")", "+1", "-1", "@SUM(A1)"})
    CHECK(plain_text(formula) == std::string("'") + formula);
  CHECK(plain_text("a=b") == "a=b");
  CHECK(plain_text("").empty());
}

TEST_CASE("JUnit: one suite named by the hardware class, a case for each check, failures and holds told apart") {
  const std::string text = junit(outcome_with({line("contract.fits", Verdict::pass, "fits"),
                                               line("accuracy.top1", Verdict::fail, "77 %, required 85 %"),
                                               line("latency.p99", Verdict::hold, "100 inferences are too few")}));
  CHECK(text.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"));
  CHECK(contains(text, "<testsuite name=\"x86_64-avx2-2c-16g-cpu\" tests=\"3\" failures=\"1\" errors=\"1\""));
  CHECK(contains(text, "timestamp=\"2026-11-23T00:00:00Z\""));
  CHECK(contains(text, "<testcase classname=\"fashion-mnist@1.1.0\" name=\"accuracy.top1 fp32\">"));
  CHECK(contains(text, "<failure type=\"fail\" message=\"77 %, required 85 %\"/>"));
  CHECK(contains(text, "<error type=\"hold\" message=\"not enough evidence: 100 inferences are too few\"/>"));
  CHECK(contains(text, "<system-out>fits</system-out>"));
  check_xml(text);
}

TEST_CASE("JUnit: hostile names stay text") {
  GateOutcome outcome =
      outcome_with({line("contract.fits", Verdict::fail, hostile), line(hostile, Verdict::hold, hostile)});
  outcome.hardware_class = hostile;
  outcome.manifest.version = "=1+1\"><x";
  const std::string text = junit(outcome);
  check_xml(text);
  CHECK(!contains(text, "<script"));
  CHECK(contains(text, "&#60;script&#62;"));
  CHECK(!contains(text, "\x1b"));
}

TEST_CASE("Markdown: a table, what failed first, then what held, then the rest, and the notes under it") {
  GateOutcome outcome =
      outcome_with({line("contract.fits", Verdict::pass, "fits"), line("latency.p99", Verdict::hold, "few"),
                    line("accuracy.top1", Verdict::fail, "77 %")});
  outcome.notes = {"this machine was noisy: load average 3.00 on 2 cores"};
  const std::string text = markdown(outcome);
  CHECK(text.starts_with("### CI gate of fashion-mnist@1.1.0: **fail**\n"));
  const std::size_t fail = text.find("| accuracy.top1@"), hold = text.find("| latency.p99@"),
                    pass = text.find("| contract.fits@"), note = text.find("- this machine was noisy");
  CHECK(fail < hold);
  CHECK(hold < pass);
  CHECK(pass < note);
  CHECK(note != std::string::npos);
}

TEST_CASE("Markdown: hostile names cannot leave their cell") {
  const std::string text = markdown(outcome_with({line("contract.fits", Verdict::fail, hostile)}));
  const std::size_t at = text.find("| contract.fits@");
  const std::string row = text.substr(at, text.find('\n', at) - at);
  CHECK(count(row, '|') == 4);
  CHECK(contains(row, "&#124;"));
  for (const char* mark : {"<", ">", "`", "[", "]", "\x1b", "\r"}) CHECK(!contains(row, mark));
  CHECK(contains(row, "&#60;script&#62;"));
}

TEST_CASE("Markdown: no more than there is room for, and what was cut is counted") {
  std::vector<Measurement> lines(5'000, line("accuracy.top1.label-1", Verdict::pass, std::string(300, 'x')));
  lines.push_back(line("latency.p99", Verdict::fail, "slow"));
  const GateOutcome outcome = outcome_with(std::move(lines));
  CHECK(markdown(outcome).size() <= summary_bytes_max);
  const std::string text = markdown(outcome, 4'000);
  CHECK(text.size() <= 4'000);
  CHECK(contains(text, "| latency.p99@"));  // the failure is there
  CHECK(contains(text, " more lines, cut here."));
  CHECK(markdown(outcome, 100).empty());
  CHECK(markdown(outcome, 0).empty());
}

TEST_CASE("workflow commands: one line for each failed or held check, none for what passed") {
  const std::string text = workflow_commands(
      outcome_with({line("contract.fits", Verdict::pass, "fits"), line("latency.p99", Verdict::hold, "few"),
                    line("accuracy.top1", Verdict::fail, "77 %, required 85 %")}));
  CHECK(text ==
        "::error title=CI gate%3A accuracy.top1@x86_64-avx2-2c-16g-cpu/fp32::77 %25, required 85 %25\n"
        "::warning title=CI gate%3A latency.p99@x86_64-avx2-2c-16g-cpu/fp32::few\n");
}

TEST_CASE("workflow commands: a hostile name is no command of its own") {
  const std::string text = workflow_commands(outcome_with({line(hostile, Verdict::fail, hostile)}));
  CHECK(count(text, '\n') == 1);
  CHECK(text.starts_with("::error title="));
  CHECK(!contains(text, "\r"));
  CHECK(contains(text, "%250A"));  // what looked like an escape is text
}
