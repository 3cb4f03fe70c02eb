"""The story can fail: a check that cannot is none. Run: story_test.py <folder of the built programs>"""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
BIN = sys.argv.pop(1) if len(sys.argv) > 1 else "build/dev/bin"


def tell(*arguments):
    run = subprocess.run([sys.executable, HERE / "story.py", "--bin", BIN, "--last-step", "1", *arguments],
                         capture_output=True, text=True, timeout=120, check=False)
    return run.returncode, run.stdout, run.stderr


class StoryTest(unittest.TestCase):
    def test_the_first_step_holds_and_is_summed_up_in_a_table(self):
        code, out, errors = tell()
        self.assertEqual(code, 0, errors)
        self.assertIn("one agent enrolled with a key it made itself", out)
        self.assertRegex(out, r"step +seconds +what was shown")

    def test_a_wrong_expectation_stops_the_story_and_says_what_was_seen_instead(self):
        code, out, errors = tell("--expect", 'hardware_class="vax-1c-0g-cpu"')
        self.assertEqual(code, 1, out)
        self.assertIn("expected vax-1c-0g-cpu", errors)
        self.assertRegex(errors, r"the server says (x86_64|aarch64)-")
        self.assertNotIn("what was shown", out)

    def test_programs_that_are_not_there_stop_it_before_it_begins(self):
        run = subprocess.run([sys.executable, HERE / "story.py", "--bin", "/nowhere"], capture_output=True, text=True,
                             timeout=60, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("/nowhere/ferryd is missing", run.stderr)


if __name__ == "__main__":
    unittest.main()
