"""What the benchmark concludes from its samples, and what it reads from the kernel. Nothing here is timed."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench  # noqa: E402
import figures  # noqa: E402
import machine  # noqa: E402
import references  # noqa: E402


def one(ours=(100, 95, 105), reference=(50, 49, 51), load=0.0, **more):
    def samples(three):
        return dict(zip(("median", "min", "max"), three))
    return {**figures.figure("check-ins", "/CPU-s", samples(ours), {"name": "nginx", **samples(reference)}, 2.0,
                             ">= 0.5", True, {}), "other_load": load, **more}


class Conclusions(unittest.TestCase):
    def test_a_quiet_run_leaves_no_doubt(self):
        self.assertEqual(bench.doubts(one()), "")

    def test_a_busy_machine_is_named(self):
        self.assertIn("others used 40% of the machine", bench.doubts(one(load=0.4)))

    def test_samples_far_apart_are_named_by_side(self):
        self.assertEqual(bench.doubts(one(ours=(100, 80, 115))), "ours unsteady")
        self.assertEqual(bench.doubts(one(reference=(50, 40, 60))), "reference unsteady")

    def test_what_is_not_timed_does_not_care(self):
        self.assertEqual(bench.doubts(one(load=0.9, ours=(100, 10, 200), timed=False)), "")

    def test_the_table_has_a_line_for_each_figure_and_says_what_missed(self):
        lines = bench.table([one(), one(met=False), one(met=None, goal="")]).splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("met", lines[1])
        self.assertIn("MISSED", lines[2])
        self.assertNotIn("met", lines[3].lower())
        self.assertIn("100 (95.0–105) /CPU-s", lines[1])

    def test_a_spread_is_median_and_extremes(self):
        self.assertEqual(figures.spread([3, 1, 2, 9, 4]), {"median": 3, "min": 1, "max": 9, "samples": 5})


class Kernel(unittest.TestCase):
    def test_memory_alone_lies_between_private_memory_and_rss(self):
        own = os.getpid()
        memory, alone = machine.memory_kib(own), machine.memory_alone_kib(own)
        self.assertGreater(memory["pss"], 0)
        self.assertLessEqual(memory["private"], memory["pss"])
        # Pages may come and go between the two readings.
        self.assertAlmostEqual(alone, memory["rss"], delta=0.1 * memory["rss"])

    def test_family_counts_as_sharing(self):
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
            self.assertIn(child.pid, machine.children_of(os.getpid()))
            machine.memory_kib(child.pid)
            shared = machine.memory_alone_kib(os.getpid(), [child.pid])
            self.assertLessEqual(shared, machine.memory_alone_kib(os.getpid()))
            child.stdin.close()

    def test_pinning_moves_every_thread(self):
        with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
            core = machine.cores()[-1]
            machine.pin(child.pid, core)
            self.assertEqual(os.sched_getaffinity(child.pid), {core})
            child.stdin.close()

    def test_a_free_port_is_free(self):
        self.assertFalse(references.answers(references.free_port()))


if __name__ == "__main__":
    unittest.main()
