"""One taxonomy: every reason code in the program is in docs/formats/reasons.md, and every code there is in the program.

A reason is `stage.cause`. Stages are those of the page's first table; a whole C++ string literal of that shape is a reason, unless
it is one of the few names below that only look like one.
"""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/formats/reasons.md"
LAYERS = re.search(r"set\(layers ([a-z_ ]+)\)", (ROOT / "cmake/layers.cmake").read_text()).group(1).split()

# File names and members of JSON that have the shape of a reason.
NO_REASONS = {"device.json", "gate.error", "gate.result", "gate.toml", "gate.verified", "rollout.toml"}


def stages(page):
    """The first column of the table of stages: "contract, variant" is two of them."""
    rows = re.findall(r"^\| ([a-z, ]+) \|", page[:page.index("## ")], re.MULTILINE)
    return {stage for row in rows for stage in row.split(", ")} - {"stage"}


def documented(page):
    """Codes in the first column of the page's tables."""
    cells = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([a-z]+\.[a-z_]+)`", cell)]


def refusals(page):
    cells = re.findall(r"^\| (`.*?) \|", page[page.index("## Refusals"):], re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([a-z_]+)`", cell)]


def literals(text):
    """Whole string literals of one line, comments left out."""
    for line in text.splitlines():
        code = re.sub(r"\s//.*$|^//.*$", "", line)
        yield from re.findall(r'"((?:[^"\\]|\\.)*)"', code)


def program():
    """{literal: the files it stands in} of every layer, headers too."""
    found = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.[ch]pp")):
            for literal in literals(path.read_text(encoding="utf-8")):
                found.setdefault(literal, set()).add(str(path.relative_to(ROOT)))
    return found


class Reasons(unittest.TestCase):
    def setUp(self):
        self.page = PAGE.read_text(encoding="utf-8")
        self.stages = stages(self.page)
        self.found = program()

    def in_program(self):
        shape = re.compile(r"^([a-z]+)\.[a-z_]+$")
        return {literal for literal in self.found
                if (match := shape.match(literal)) and match[1] in self.stages and literal not in NO_REASONS}

    def test_the_page_has_stages_and_codes(self):
        self.assertGreaterEqual(self.stages, {"trust", "trial", "gate", "drift", "rollout", "operator", "device"})
        self.assertGreater(len(documented(self.page)), 45)

    def test_every_code_is_told_once_and_with_a_known_stage(self):
        codes = documented(self.page)
        self.assertEqual(sorted(codes), sorted(set(codes)))
        for code in codes:
            with self.subTest(code):
                self.assertIn(code.split(".")[0], self.stages)

    def test_every_row_says_cause_evidence_and_what_to_do(self):
        body = self.page[self.page.index("## Before"):self.page.index("## Refusals")]
        for row in re.findall(r"^\| `.*$", body, re.MULTILINE):
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            with self.subTest(cells[0]):
                self.assertEqual(len(cells), 4)
                self.assertTrue(all(cells))

    def test_every_code_in_the_program_is_told(self):
        for code in sorted(self.in_program() - set(documented(self.page))):
            with self.subTest(code):
                self.fail(f"{code} ({', '.join(sorted(self.found[code]))}): tell it in docs/formats/reasons.md and "
                          "web/src/state/reasons.ts; if it is no reason, name it in NO_REASONS here")

    def test_every_code_that_is_told_is_in_the_program(self):
        for code in sorted(set(documented(self.page)) - self.in_program()):
            with self.subTest(code):
                self.fail(f"{code}: nothing says it (any more)")

    def test_every_refusal_that_is_told_is_in_the_program(self):
        self.assertGreater(len(refusals(self.page)), 8)
        for code in refusals(self.page):
            with self.subTest(code):
                self.assertIn(code, self.found)

    def test_names_that_are_no_reasons_are_still_there(self):
        for name in sorted(NO_REASONS):
            with self.subTest(name):
                self.assertIn(name, self.found)


class Reading(unittest.TestCase):
    """The check finds what it exists to find."""

    def test_literals(self):
        text = 'a("trial.load");  // "trial.comment"\n// "trial.whole"\nb("x \\"trial.inner\\" y", "gate.silence");'
        self.assertEqual(list(literals(text)), ["trial.load", 'x \\"trial.inner\\" y', "gate.silence"])

    def test_codes_of_a_row(self):
        page = "| stage | when |\n| trial, gate | x |\n## A\n| `trial.load`, `trial.golden` | `gate.not_here` |\n"
        self.assertEqual(documented(page), ["trial.load", "trial.golden"])
        self.assertEqual(stages(page), {"trial", "gate"})


if __name__ == "__main__":
    unittest.main()
