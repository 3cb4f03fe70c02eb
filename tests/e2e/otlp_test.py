"""An agent pointed at somebody else's OTLP receiver delivers everything: real inferences, a real VictoriaMetrics.

Run: otlp_test.py <folder of the built programs>
"""
import collections
import json
import math
import os
import pathlib
import select
import signal
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness.feeder import Feeder, test_samples, UnixConnection  # noqa: E402
from harness.processes import StoryError, require, wait_until  # noqa: E402
from harness.victoria_metrics import VictoriaMetrics  # noqa: E402
from harness.world import EXAMPLE, MODEL, World  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/dev/bin").resolve()
VERSION = "1.1.0"
GATE_IMAGES = 1000  # what is tested here is not the gate
ANSWERS = 400       # in each of the three acts
FAILURES_MAX = 40   # kills until two of them hit one and the same request

# Two bounds of the sketch (scale 5): a bucket is 2^(1/32) wide, its middle at most half of that from any value in it.
BUCKET = 2 ** (1 / 32)
# What VictoriaMetrics makes of a bucket's bounds: four digits.
DIGITS = 1.001

ROLLOUT = """
[[phases]]
percent = 100
soak_s = 0
[trial]
trial_deadline_s = 60
probation_requests = 1
probation_s = 1
"""


class Application(Feeder):
    """A client that asks in the test's own thread and remembers what it was answered."""

    def __init__(self, socket_path):
        super().__init__(socket_path, MODEL)
        self.connection = UnixConnection(socket_path)
        self.classes, self.labels, self.took_s = collections.Counter(), collections.Counter(), []

    def infer(self, connection, pixels):
        version, label, prediction = super().infer(connection, pixels)
        self.classes[label] += 1
        self.last = (label, prediction)
        return version, label, prediction

    def ask_many(self, count):
        for number in range(count):
            pixels, label = self.samples[number % len(self.samples)]
            before = len(self.lost)
            self.ask(self.connection, pixels, label, False)
            require(len(self.lost) == before, f"a request was lost: {self.lost[-1:]}")
            if self.answered % self.audit_every == 0:  # ask() has sent its label
                self.labels[self.last[0] == label] += 1
        require(self.feedback_sent == sum(self.labels.values()), "the test and the feeder count labels differently")


class OtherReceiver(unittest.TestCase):
    """One life in three acts: answers, failures and labels; the receiver away; the agent started again."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ferry-otlp-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.world = World(cls.folder.name, BIN)
        cls.addClassCleanup(cls.world.close)
        cls.receiver = VictoriaMetrics(cls.world.folder / "victoria-metrics").start()
        cls.addClassCleanup(cls.receiver.close)
        cls.classes, cls.labels, cls.took_us, cls.failures = collections.Counter(), collections.Counter(), [], 0
        cls.prepare()
        cls.act_one()
        cls.act_two_the_receiver_is_away()
        cls.act_three_the_agent_starts_again()
        cls.series = cls.receiver.series()

    @classmethod
    def prepare(cls):
        world, server = cls.world, cls.world.server
        server.init()
        world.ferry("key", "init", "--online", server.data / "online" / "public.json", "--model", MODEL, "-d", world.keys)
        server.start(telemetry_interval_s=1)
        world.ferry("key", "publish", "--keys", world.keys)
        policy = world.folder / "gate.toml"
        policy.write_text((EXAMPLE / "gate.toml").read_text().replace("limit = 10000", f"limit = {GATE_IMAGES}"))
        bundle = world.folder / "bundle"
        world.ferry("bundle", "pack", "-f", EXAMPLE / "bundle.toml", "--version", VERSION, "--counter", 1, "-d", bundle)
        world.ferry("gate", "run", bundle, "--policy", policy, "--key", world.keys / "gate.pem")
        world.ferry("release", "publish", bundle, "--key", world.keys / f"release-{MODEL}.pem")
        cls.device = world.device("device")
        cls.device.enrol(world.ferry_json("token", "create", "--uses", "1")["token"])
        cls.device.config = world.folder / "agent.toml"
        cls.device.config.write_text(f'[telemetry]\nurl = "{cls.receiver.otlp_url}"\n'
                                     '[telemetry.headers]\nX-Tenant = "ferry"\n')
        cls.device.start()
        rollout = world.folder / "rollout.toml"
        rollout.write_text(ROLLOUT)
        world.ferry("rollout", "create", f"{MODEL}@{VERSION}", "--policy", rollout, "--wait", limit_s=120)
        wait_until(f"the device serves {VERSION}, and no rollout is under way", cls.settled, 60)

    @classmethod
    def settled(cls):
        state = cls.device.slot_state()
        slot = state.get("active") and state["slots"][state["active"]]
        serving = (cls.device.model_status().get("active") or {}).get("state") == "serving"
        return serving and slot["version"] == VERSION and slot["rollout"] == ""

    @classmethod
    def answers(cls, count):
        application = Application(cls.device.data / "run" / "infer.sock")
        application.ask_many(count)
        application.connection.close()
        cls.classes += application.classes
        cls.labels += application.labels
        cls.took_us += application.latencies_us

    @classmethod
    def spooled(cls):
        return (cls.device.status() or {}).get("spool", {}).get("windows")

    @classmethod
    def arrived(cls):
        """Inferences that the receiver knows of, over all lives of the agent."""
        return sum(max(values) for _, values in cls.receiver.series("ferry.inference.duration_count"))

    @classmethod
    def act_one(cls):
        cls.answers(ANSWERS)
        cls.make_failures()
        wait_until("all answers of act one are at the receiver", lambda: cls.arrived() == sum(cls.classes.values()), 60)

    @classmethod
    def make_failures(cls):
        """Large requests whose worker is killed under them until one is lost: the agent tries a request only twice."""
        pixels = b"".join(struct.pack("<f", byte / 255.0) for byte in test_samples()[0][0])
        images = 2000
        head = json.dumps({"inputs": [{"name": "image", "shape": [images, 1, 28, 28], "datatype": "FP32",
                                       "parameters": {"binary_data_size": len(pixels) * images}}],
                           "outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}).encode()
        body = head + pixels * images
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        for _ in range(FAILURES_MAX):
            connection = UnixConnection(cls.device.data / "run" / "infer.sock")
            connection.timeout = 60
            connection.request("POST", f"/v2/models/{MODEL}/infer", body, headers)
            connection.sock.setblocking(False)
            killed = set()
            try:
                while len(killed) < 3 and not cls.readable(connection.sock):
                    for pid in cls.workers() - killed:
                        if cls.busy(pid):
                            os.kill(pid, signal.SIGKILL)
                            killed.add(pid)
            finally:
                connection.sock.settimeout(60)
            answer = connection.getresponse()
            data = answer.read()
            connection.close()
            if answer.status == 200:
                first = data[int(answer.headers["Inference-Header-Content-Length"]):][:40]
                logits = struct.unpack("<10f", first)
                cls.classes[logits.index(max(logits))] += 1  # telemetry reads the first item of a batch
            else:
                require(answer.status == 503, f"unexpected answer {answer.status}: {data[:300]!r}")
                cls.failures += 1
            wait_until("a worker serves again", cls.device.model_ready, 60)
            if cls.failures:
                return
        raise StoryError(f"no request was lost in {FAILURES_MAX} tries")

    @classmethod
    def workers(cls):
        found = set()
        try:
            for task in pathlib.Path(f"/proc/{cls.device.program.pid}/task").iterdir():
                found |= {int(child) for child in (task / "children").read_text().split()}
        except OSError:
            pass  # a thread that just ended
        return found

    @staticmethod
    def busy(pid):
        """Loaded (its sandbox has no way to open files) and running: the request is in it, or on its way out."""
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return False
        return "\nState:\tR" in status and "\nSeccomp:\t2" in status

    @staticmethod
    def readable(sock):
        return bool(select.select([sock], [], [], 0)[0])

    @classmethod
    def act_two_the_receiver_is_away(cls):
        cls.receiver.stop()
        cls.answers(ANSWERS)
        wait_until("windows wait in the device's spool", cls.spooled, 60)
        cls.away_connected = cls.device.status()["connected"]
        cls.receiver.start()
        wait_until("all answers of act two are at the receiver", lambda: cls.arrived() == sum(cls.classes.values()), 90)

    @classmethod
    def act_three_the_agent_starts_again(cls):
        cls.device.program.stop()
        cls.device.start()
        wait_until("the model serves again", cls.device.model_ready, 60)
        cls.answers(ANSWERS)
        wait_until("all answers of act three are at the receiver", lambda: cls.arrived() == sum(cls.classes.values()), 60)
        wait_until("nothing waits any more", lambda: cls.spooled() == 0, 60)

    # -- what the receiver holds ---------------------------------------------------------------------------------

    def last(self, name, **labels):
        """[(labels, newest value)] of the series of one name that carry these labels."""
        return [(metric, values[-1]) for metric, values in self.series
                if metric["__name__"] == name and all(metric.get(k) == v for k, v in labels.items())]

    def total(self, name, **labels):
        return sum(value for _, value in self.last(name, **labels))

    def buckets(self):
        """[(lower, upper, count)] of the latency histogram over both lives, in order."""
        counts = collections.Counter()
        for metric, value in self.last("ferry.inference.duration_bucket"):
            counts[metric["vmrange"]] += value
        return sorted((*map(float, bounds.split("...")), count) for bounds, count in counts.items())

    def answered(self):
        return sum(self.classes.values())

    def test_every_answer_is_counted(self):
        self.assertGreater(self.answered(), 3 * ANSWERS - 1)
        self.assertEqual(self.total("ferry.inference.duration_count"), self.answered())
        self.assertEqual(sum(count for *_, count in self.buckets()), self.answered())
        for name in ("ferry.prediction.class", "ferry.prediction.confidence", "ferry.prediction.mnlp"):
            self.assertEqual(self.total(f"{name}_count"), self.answered(), name)

    def test_every_class_is_counted_as_it_was_answered(self):
        up_to = collections.Counter()
        for metric, value in self.last("ferry.prediction.class_bucket"):
            up_to[float(metric["le"])] += value
        counted, before = {}, 0
        for bound in sorted(up_to):
            counted[len(counted)] = up_to[bound] - before
            before = up_to[bound]
        self.assertEqual(counted, {k: self.classes[k] for k in range(10)})

    def test_labels_are_counted_by_source_and_outcome(self):
        self.assertGreater(self.labels[True], self.labels[False])
        for outcome in (True, False):
            self.assertEqual(self.total("ferry.label.outcomes", source="audit", correct=str(outcome).lower()),
                             self.labels[outcome], outcome)

    def test_failures_are_counted_with_their_reason(self):
        self.assertGreater(self.failures, 0)
        self.assertEqual(self.total("ferry.inference.errors"), self.failures)
        # As the agent saw the kills: a worker died of the request (a kernel that ran out of memory meanwhile gets the
        # blame for a SIGKILL), or was killed again while it was being loaded, and the request waited in vain.
        types = {metric["error.type"] for metric, _ in self.last("ferry.inference.errors")}
        self.assertLessEqual(types, {"trial.crash", "trial.memory", "unavailable"})

    def test_the_sum_of_latencies_is_that_of_the_buckets_within_the_sketch_error(self):
        total = self.total("ferry.inference.duration_sum")
        low = sum(count * lower for lower, _, count in self.buckets())
        high = sum(count * upper for _, upper, count in self.buckets())
        self.assertLess(high / low, BUCKET * DIGITS ** 2)
        self.assertTrue(low / DIGITS <= total <= high * DIGITS, (low, total, high))
        # The agent's clock runs inside the application's; batches were not in the application's list.
        self.assertGreater(total, 0)

    def test_a_percentile_asked_of_the_receiver_is_the_sketch_s_within_its_error(self):
        for share in (0.5, 0.9, 0.99):
            rank, seen = math.ceil(share * self.answered()), 0
            for lower, upper, count in self.buckets():
                seen += count
                if seen >= rank:
                    break
            found = self.receiver.query(
                f'histogram_quantile({share}, sum(last_over_time({{__name__="ferry.inference.duration_bucket"}}[1h])) by (vmrange))')
            self.assertEqual(len(found), 1, found)
            # It places the rank within the bucket its own way, or at the edge of the next.
            self.assertTrue(lower / BUCKET / DIGITS <= found[0][1] <= upper * BUCKET * DIGITS,
                            (share, lower, found, upper))

    def test_the_median_is_below_what_the_application_saw(self):
        seen = sorted(self.took_us)[len(self.took_us) // 2] / 1e6
        half, before = self.answered() / 2, 0
        for lower, _, count in self.buckets():
            before += count
            if before >= half:
                break
        self.assertLess(lower, seen * BUCKET)
        self.assertGreater(lower, seen / 1000)  # of the same order of things

    def test_each_series_says_which_device_and_release_it_is_of(self):
        slot = self.device.slot_state()
        manifest = slot["slots"][slot["active"]]["manifest_sha256"]
        expected = {"service.name": "ferry-agent", "service.instance.id": self.install(), "model.name": MODEL,
                    "model.version": VERSION, "artifact.hash": manifest, "ferry.slot": slot["active"]}
        boots = set()
        for metric, _ in self.last("ferry.inference.duration_count"):
            self.assertEqual({key: metric.get(key) for key in expected}, expected)
            self.assertNotIn("ferry.report.seq", metric)  # it would make a series of each window
            boots.add(metric["ferry.boot.id"])
        self.assertEqual(len(boots), 2)

    def install(self):
        return json.loads((self.device.data / "identity" / "device.json").read_text())["install"]

    def test_no_total_ever_goes_down(self):
        for metric, values in self.series:
            if metric["__name__"] != "ferry.worker.memory":
                self.assertEqual(values, sorted(values), metric)

    def test_the_receiver_dropped_nothing(self):
        self.assertEqual(self.receiver.dropped_rows(), {})
        self.assertEqual(self.total("ferry.report.dropped"), 0)

    def test_a_receiver_that_is_away_does_not_part_the_device_from_its_server(self):
        self.assertTrue(self.away_connected)

    def test_the_update_server_got_none_of_it(self):
        telemetry = self.world.server.api.get(f"/telemetry?model={MODEL}&window_s=3600")
        self.assertEqual([row for row in telemetry["releases"] if row["count"] > 0], [])


if __name__ == "__main__":
    unittest.main()
