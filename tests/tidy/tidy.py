"""House rules that a machine can check, over every file that is or could be committed. Warnings do not fail.

Run by ctest (test `tidy`) and by hand: python3 tests/tidy/tidy.py
"""

import json
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAYERS = re.search(r"set\(layers ([a-z_ ]+)\)", (ROOT / "cmake/layers.cmake").read_text()).group(1).split()

LINES_WARN = 400
LINES_MAX = 600
SOURCE = {".cpp", ".hpp", ".c", ".h", ".py", ".ts", ".tsx", ".cmake", ".sh"}
CPLUSPLUS = {".cpp", ".hpp", ".c", ".h"}
SKIPPED_FOLDERS = {"build", "node_modules", "dist", ".git", "__pycache__"}

# Rule → (which files, what must not stand on one line, why).
BANNED = {
    "using namespace in a header":
        (r"\.(hpp|h)$", r"^\s*using\s+namespace\b", "it reaches into every file that includes the header"),
    "a task without an owner":
        (r"\.(cpp|hpp|c|h|py|ts|tsx|cmake|sh)$", r"\b(TO" r"DO|FIX" r"ME)\b(?!\([a-z][\w.-]*\))", "write TO" "DO(name)"),
    "the system's clock outside common/clock.cpp":
        (r"^(?!common/clock\.cpp).*\.(cpp|hpp)$", r"system_clock::now\b", "take a Clock"),
    "a real wait in a C++ test":
        (r"^tests/.*\.(cpp|hpp)$", r"this_thread::sleep_|\b(usleep|nanosleep)\s*\(|(^|[\s{;(]|\s::)sleep\s*\(\s*\d",
         "take a simulated Clock, or wait for the event itself"),
    "a detached coroutine":
        (rf"^({'|'.join(LAYERS)})/.*\.(cpp|hpp)$", r"\basio::detached\b", "every coroutine has an owner"),
    "a capturing lambda inside a co_await expression":
        (r"\.(cpp|hpp)$", r"co_await\b[^;/]*\[[^\[\]]*[\w&=][^\[\]]*\]\s*(\([^;]*\)\s*(mutable\s*)?)?(->[^{;]*)?\{",
         "gcc 12 destroys it twice: name it on the line above (docs/adr/0002)"),
    "a package registry's host":
        (r".*", r"registry\.npmjs|registry\.yarnpkg|(deb|security|snapshot)\.debian\.org|proxy\.golang\.org|pypi\.org",
         "machines bring their own mirror"),
}


def tracked_files():
    """Files of the work tree that git does not ignore; without git (an unpacked archive), all but build output."""
    git = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         capture_output=True, text=True, check=False)
    if git.returncode == 0:
        names = [name for name in git.stdout.split("\0") if name]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    return sorted(name for name in set(names)
                  if not SKIPPED_FOLDERS & set(pathlib.Path(name).parts) and (ROOT / name).is_file())


def read(name):
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # binary


FILES = tracked_files()
warnings = []


class Tidy(unittest.TestCase):
    def test_files_are_short(self):
        for name in FILES:
            if pathlib.Path(name).suffix not in SOURCE:
                continue
            lines = read(name).count("\n")
            if lines > LINES_WARN:
                warnings.append(f"{name}: {lines} lines (over {LINES_MAX} fails)")
            with self.subTest(name):
                self.assertLessEqual(lines, LINES_MAX, f"{name} has {lines} lines: split it by meaning")

    def test_banned_words(self):
        for rule, (where, pattern, why) in BANNED.items():
            place, banned = re.compile(where), re.compile(pattern)
            for name in FILES:
                if not place.search(name):
                    continue
                for number, line in enumerate(read(name).splitlines(), 1):
                    if banned.search(line):
                        with self.subTest(rule=rule, file=name, line=number):
                            self.fail(f"{name}:{number}: {rule}: {why}\n    {line.strip()[:160]}")

    def test_headers_are_included_once(self):
        for name in FILES:
            if name.endswith(".hpp"):
                with self.subTest(name):
                    self.assertIn("#pragma once", read(name), f"{name} has no #pragma once")

    def test_lock_files_name_no_address(self):
        for name in FILES:
            if pathlib.Path(name).name != "package-lock.json":
                continue
            for package, entry in json.loads(read(name)).get("packages", {}).items():
                with self.subTest(file=name, package=package):
                    self.assertNotIn("resolved", entry, "npm install --omit-lockfile-registry-resolved")

    def test_packages_are_documented(self):
        document = read("docs/third-party.md")
        lists = re.findall(r"^packages_\w+=\(([^)]*)\)", read("scripts/packages.sh"), re.MULTILINE)
        self.assertTrue(lists)
        for entry in " ".join(lists).split():
            package = entry.split("\\|")[0]
            with self.subTest(package):
                self.assertIn(f"| {package} |", document, "docs/third-party.md says why and under which licence")

    def test_scripts_stop_at_errors(self):
        for name in FILES:
            text = read(name)
            if text.startswith("#!/usr/bin/env bash") or text.startswith("#!/bin/bash"):
                with self.subTest(name):
                    self.assertIn("set -euo pipefail", text, name)

    def test_sources_have_tests(self):
        """Only warns: a file of glue may be tested through its neighbour."""
        present = set(FILES)
        for name in FILES:
            path = pathlib.Path(name)
            if path.suffix != ".cpp" or path.parts[0] not in LAYERS or "internal" in path.parts:
                continue
            if path.stem == "main" or path.stem.endswith("_main"):
                continue
            wanted = pathlib.Path("tests") / path.parent / f"{path.stem}_test.cpp"
            flat = pathlib.Path("tests") / path.parts[0] / f"{path.stem}_test.cpp"
            if str(wanted) not in present and str(flat) not in present:
                warnings.append(f"{name}: no {wanted}")


class BannedPatterns(unittest.TestCase):
    """The patterns find what they are for, and leave their neighbours alone."""

    cases = {
        "using namespace in a header": (["using namespace std;"], ["namespace x = std;", "// using it"]),
        "a task without an owner": (["// TO" "DO: later", "# FIX" "ME"], ["// TO" "DO(ada): later"]),
        "a real wait in a C++ test":
            (["std::this_thread::sleep_for(1ms);", "  usleep(10);", "  sleep(1);", "if (x) ::sleep(1);"],
             ["sleeper.sleep(backoff);", "co_await clock.sleep_for(limit);", "bool sleep(Duration limit) override {"]),
        "a capturing lambda inside a co_await expression":
            (["co_await offload(pool, [this] { return 1; });", "auto x = co_await run([a = b](int y) mutable { f(y); });"],
             ["co_await reply(rows[i]);", "co_await offload(pool, work);", "co_await run([] { return 1; });",
              "auto f = [this] { return 1; };  // co_await f"]),
        "a package registry's host": (["http://deb.debian" ".org/debian"], ["debian.org/docs"]),
    }

    def test_each(self):
        for rule, (bad, good) in self.cases.items():
            pattern = re.compile(BANNED[rule][1])
            for line in bad:
                with self.subTest(rule, line=line):
                    self.assertRegex(line, pattern)
            for line in good:
                with self.subTest(rule, line=line):
                    self.assertNotRegex(line, pattern)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)
    sys.exit(not program.result.wasSuccessful())
