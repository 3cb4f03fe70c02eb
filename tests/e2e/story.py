#!/usr/bin/env python3
"""The main job, played with real processes over real mutual TLS: one model from CI to a device and back.

Every step is checked against the server's API, the device's own status and its files on disk, never against what
this script printed. Exit 0 and a summary table, or 1 and the reason.
"""
import argparse
import json
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fleet import Fleet  # noqa: E402
from harness.feeder import Feeder  # noqa: E402
from harness.processes import StoryError, require, run, wait_until  # noqa: E402
from harness.world import EXAMPLE, MODEL, ROOT, World  # noqa: E402

EXIT_GATE_FAILED = 6
# Bytes per second that hold a download open long enough to kill the agent in the middle of it.
SLOW_DOWNLOAD_BYTES_PER_S = 60_000
POLICY = EXAMPLE / "rollout.toml"


class Story:
    def __init__(self, world, expectations):
        self.world, self.expect, self.screenshot = world, expectations, None
        self.rows, self.feeder, self.rollouts = [], None, {}
        self.started = self.step_started = time.monotonic()

    # -- telling ------------------------------------------------------------------------------------------------

    def chapter(self, title):
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)

    def say(self, text):
        print(f"    {text}", flush=True)

    def done(self, step, what):
        now = time.monotonic()
        self.rows.append((step, what, now - self.step_started))
        self.step_started = now
        print(f"  ok  {what}", flush=True)

    def expected(self, name, default):
        """What a check compares with; a test overrides one to see that the story then fails."""
        return self.expect.get(name, default)

    # -- shared moves -------------------------------------------------------------------------------------------

    def pack_and_gate(self, version, counter, expect=0):
        bundle = self.world.folder / "bundles" / version
        self.world.ferry("bundle", "pack", "-f", EXAMPLE / "bundle.toml", "--version", version, "--counter", counter,
                         "-d", bundle)
        self.world.ferry("gate", "run", bundle, "--policy", EXAMPLE / "gate.toml",
                         "--key", self.world.keys / "gate.pem", "--report", bundle / "report.json", expect=expect)
        return bundle

    def release(self, version, counter):
        bundle = self.pack_and_gate(version, counter)
        self.world.ferry("release", "publish", bundle, "--key", self.world.keys / f"release-{MODEL}.pem")
        known = self.world.server.api.get(f"/releases/{MODEL}/{version}")
        require(known and known["version"] == version, f"the server does not list release {version}: {known}")
        return bundle

    def roll_out(self, version):
        rollout = self.world.ferry_json("rollout", "create", f"{MODEL}@{version}", "--policy", POLICY)
        self.rollouts[version] = rollout["id"]
        return rollout["id"]

    def rollout(self, version):
        return self.world.server.api.get(f"/rollouts/{self.rollouts[version]}") or {}

    def wait_for_rollout(self, version, state, limit_s=60):
        def ended():
            seen = self.rollout(version)
            if seen.get("state") in ("done", "failed", "aborted") and seen["state"] != state:
                raise StoryError(f"rollout of {version} ended {seen['state']} ({seen.get('reason')}), expected {state}: "
                                 f"{json.dumps(seen)[:1500]}")
            return seen if seen.get("state") == state else None
        return wait_until(f"rollout of {version} is {state}", ended, limit_s)

    def check_active(self, device, version):
        """Three witnesses: the device's status, its files, the server's inventory."""
        wait_until(f"{device.name} says {version} is active", lambda: device.active_version() == version)
        state = device.slot_state()
        slot = state["slots"][state["active"]]
        require(slot["version"] == version, f"slot state on disk says {slot}, expected {version}")
        require((device.data / "models" / MODEL / state["active"] / "manifest.json").exists(), "no manifest in the slot")
        wait_until(f"the server knows {device.name} runs {version}",
                   lambda: self.server_view(device).get("active", {}).get("version") == version)

    def server_view(self, device):
        seen = self.world.server.api.get(f"/devices/{device.id}") or {}
        return next((m for m in seen.get("models", []) if m["model"] == MODEL), {})

    # -- the story ----------------------------------------------------------------------------------------------

    def step_1_trust_and_enrolment(self):
        world = self.world
        world.server.init()
        world.ferry("key", "init", "--online", world.server.data / "online" / "public.json", "--model", MODEL,
                    "-d", world.keys)
        world.server.start()
        world.ferry("key", "publish", "--keys", world.keys)
        require(world.server.api.get("/trust"), "the server has no trust root after `ferry key publish`")
        self.done("1", "trust root made offline and published; server and device CA are up")

        token = world.ferry_json("token", "create", "--uses", "1")["token"]
        device = world.device("device-1")
        device.enrol(token)
        key = device.data / "identity" / "key.pem"
        require(key.stat().st_mode & 0o077 == 0, "the device key is readable by others")
        device.start()
        listed = wait_until("the server lists the device with its hardware profile", lambda: next(
            (d for d in (world.server.api.get("/devices") or {}).get("items", [])
             if d["id"] == device.id and d.get("hardware_class")), None))
        measured = self.expected("hardware_class", device.status()["hardware_class"])
        require(listed["hardware_class"] == measured,
                f"hardware class: the server says {listed['hardware_class']}, expected {measured}")
        self.say(f"{device.id} is {listed['hardware_class']}")
        self.done("1", f"one agent enrolled with a key it made itself: {device.id}")

    def step_2_first_release(self):
        device = self.world.devices[0]
        self.release("1.0.0", 1)
        self.done("2", "1.0.0 packed (fp32, int8), passed the CI gate, signed, published")
        self.roll_out("1.0.0")
        self.wait_for_rollout("1.0.0", "done")
        self.check_active(device, self.expected("first_version", "1.0.0"))
        active = device.model_status()["active"]
        require(active["variant"] in ("fp32", "int8") and active["variant_reason"], f"no variant reason: {active}")
        self.say(f"variant {active['variant']}: {active['variant_reason']}")
        states = [e["state"] for e in self.events(device, "1.0.0")]
        require({"downloading", "staged", "trial", "committed"} <= set(states), f"timeline lacks a state: {states}")
        self.done("2", "the device chose a variant, proved it by golden outputs and latency, committed")
        self.feeder = Feeder(device.data / "run" / "infer.sock", MODEL)
        self.feeder.start()
        wait_until("the feeder has 300 answers of 1.0.0", lambda: self.feeder.seen("1.0.0") >= 300)
        require(not self.feeder.lost, f"lost requests: {self.feeder.lost[:3]}")
        self.done("2", f"it answers requests: {self.feeder.answered} so far, none lost")

    def events(self, device, version):
        timeline = self.world.server.api.get(f"/devices/{device.id}/timeline") or {}
        return [e for e in timeline.get("items", []) if e.get("kind") == "update" and e.get("version") == version]

    def step_3_hot_swap(self):
        device = self.world.devices[0]
        self.release("1.1.0", 2)
        self.roll_out("1.1.0")
        self.wait_for_rollout("1.1.0", "done")
        self.check_active(device, "1.1.0")
        wait_until("the feeder has 600 answers of 1.1.0", lambda: self.feeder.seen("1.1.0") >= 600)
        old, new = (self.feeder.by_version[v].accuracy() for v in ("1.0.0", "1.1.0"))
        require(not self.feeder.lost, f"the hot swap lost requests: {self.feeder.lost[:3]}")
        require(new > old, f"accuracy did not rise: {old:.3f} then {new:.3f}")
        self.done("3", f"1.1.0 took over by hot swap: 0 of {self.feeder.sent} requests lost, "
                       f"accuracy {old:.1%} -> {new:.1%}")

    def step_4_ci_gate_stops_a_bad_release(self):
        bundle = self.pack_and_gate("1.2.0", 3, expect=EXIT_GATE_FAILED)
        report = json.loads((bundle / "report.json").read_text())
        failed = [m for m in report["measurements"] if m["verdict"] == "fail"]
        require(any(m["id"].startswith("accuracy.top1@") for m in failed), f"the report does not blame accuracy: {failed}")
        self.say(f"{failed[0]['id']}: {failed[0]['detail']}")
        self.world.ferry("release", "publish", bundle, "--key", self.world.keys / f"release-{MODEL}.pem",
                         expect=EXIT_GATE_FAILED)
        # And past our own CLI: the server itself must refuse the same bytes.
        _, text = self.world.ferry("release", "publish", bundle, "--key", self.world.keys / f"release-{MODEL}.pem",
                                   "--no-local-check", expect=EXIT_GATE_FAILED)
        require("attestation" in text, f"the server's refusal does not say why: {text}")
        require(self.world.server.api.get(f"/releases/{MODEL}/1.2.0") is None, "the server lists 1.2.0")
        self.done("4", "1.2.0 failed the CI gate (exit 6, accuracy); CLI and server both refused to publish it")

    def step_5_trial_catches_a_field_failure(self):
        device = self.world.devices[0]
        self.release("1.3.0", 4)
        pid, lost_before = device.program.pid, len(self.feeder.lost)
        self.roll_out("1.3.0")
        failed = self.wait_for_rollout("1.3.0", "failed")
        self.check_active(device, "1.1.0")
        require(device.program.alive() and device.program.pid == pid, "the agent did not stay up")
        reason = self.events(device, "1.3.0")[0]["reason"]
        require(reason in self.expected("field_reasons", ["trial.memory", "trial.errors", "trial.crash"]),
                f"unexpected reason {reason}")
        state = device.slot_state()
        rejected = [r for r in state["rejected"] if r["version"] == "1.3.0"]
        require(rejected and rejected[0]["reason"] == reason, f"1.3.0 is not on the rejected list: {state['rejected']}")
        in_slots = [s["version"] for s in state["slots"].values() if s]
        require("1.3.0" not in in_slots, f"the rejected release still sits in a slot: {in_slots}")
        require(failed["reason"] == "rollout.failures", f"rollout reason: {failed['reason']}")
        answered = self.feeder.seen("1.1.0")
        wait_until("1.1.0 goes on answering", lambda: self.feeder.seen("1.1.0") > answered + 50)
        require(len(self.feeder.lost) == lost_before, f"requests were lost: {self.feeder.lost[lost_before:][:3]}")
        self.done("5", f"1.3.0 passed CI, failed on the device ({reason}); 1.1.0 kept answering, the rollout stopped")

    def step_6_killed_and_resumed(self):
        feeder = self.feeder.finish()
        require(feeder.sent == feeder.answered, f"{feeder.sent} sent, {feeder.answered} answered: {feeder.lost[:3]}")
        self.say(f"feeder so far: {feeder.sent} sent, {feeder.answered} answered")
        world, device = self.world, self.world.devices[0]
        self.release("1.4.0", 5)
        world.server.program.stop()
        world.server.start(bytes_per_second=SLOW_DOWNLOAD_BYTES_PER_S)
        self.roll_out("1.4.0")
        wait_until("the download is under way", lambda: device.partial_bytes() > 20_000)
        device.kill()
        held = device.partial_bytes()
        require(held > 0 and device.slot_state()["update"]["state"] == "downloading", "not killed in the middle")
        device.start()
        wait_until("the server sent the rest of a blob, not the whole (206)", lambda: self.answers_of_blobs(206) > 0)
        self.done("6", f"agent killed with SIGKILL in a download at {held} bytes; it resumed from there")

        world.server.program.kill()
        world.server.start()
        self.say("server killed with SIGKILL during the rollout and started again")
        in_trial = wait_until("the journal says trial", lambda: (
            device.slot_state().get("update", {}).get("state") == "trial" and device.slot_state()), 60)
        device.kill()
        require(in_trial["active"], "no active slot in the journal")
        device.start()
        # Shadow and probation want live requests; an application asks first whether the model is ready.
        wait_until("1.1.0 answers again", device.model_ready)
        self.feeder = Feeder(device.data / "run" / "infer.sock", MODEL)
        self.feeder.start()
        self.wait_for_rollout("1.4.0", "done", 90)
        self.check_active(device, "1.4.0")
        wait_until("the feeder has 100 answers of 1.4.0", lambda: self.feeder.seen("1.4.0") >= 100)
        require(not self.feeder.lost, f"lost requests after the restart: {self.feeder.lost[:3]}")
        self.done("6", "agent killed again inside the trial; it resumed, committed 1.4.0; the server's rollout went on")

    def answers_of_blobs(self, code):
        _, text = self.world.server.api.request("GET", "/metrics")
        wanted = f'ferry_http_requests_total{{route="/device/v1/blobs/sha256/{{hex}}",code="{code}"}} '
        lines = (text or b"").decode().splitlines()
        return sum(int(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    def step_7_dashboard_data(self):
        api = self.world.server.api
        telemetry = wait_until("telemetry of 1.1.0 and 1.4.0 is on the server", lambda: (
            lambda t: t if t and {"1.1.0", "1.4.0"} <= {r["version"] for r in t["releases"] if r["count"] > 0} else None)(
                api.get(f"/telemetry?model={MODEL}&window_s=3600")), 40)
        for row in telemetry["releases"]:
            self.say(f"{row['version']}: n={row['count']} p50={row['p50_us']} us p99={row['p99_us']} us "
                     f"labelled={row.get('labelled', 0)} right={row.get('accuracy_ppm', 0) / 10_000:.1f} %")
        overview = api.get("/overview")
        require(overview and overview["devices"]["total"] == 1, f"overview: {overview}")
        self.done("7", "fleet, device, release, rollout and telemetry are served to the dashboard")
        out, _ = run([ROOT / "scripts" / "node-env", "node", ROOT / "tests" / "browser" / "dashboard.mjs", "--folder",
                      self.world.folder, *(["--screenshot", self.screenshot] if self.screenshot else [])])
        passed = next((line.split()[-1] for line in out.splitlines() if line.startswith("# pass")), "0")
        require(int(passed) > 0, f"the browser test passed nothing:\n{out[-2000:]}")
        self.done("7", f"a person sees them in a browser: {passed} checks in Chromium, each page against the API, live")

    def steps(self):
        return [("1  Trust, server, one device", self.step_1_trust_and_enrolment),
                ("2  Release 1.0.0 goes out", self.step_2_first_release),
                ("3  Release 1.1.0 takes over", self.step_3_hot_swap),
                ("4  Release 1.2.0 stops in CI", self.step_4_ci_gate_stops_a_bad_release),
                ("5  Release 1.3.0 comes back from the field", self.step_5_trial_catches_a_field_failure),
                ("6  Killed in the middle", self.step_6_killed_and_resumed),
                ("7  What the dashboard shows", self.step_7_dashboard_data)]

    def play(self, last_step):
        for number, (title, step) in enumerate(self.steps(), 1):
            if number > last_step:
                break
            self.chapter(title)
            step()

    def summary(self):
        print("\n  step  seconds  what was shown")
        for step, what, seconds in self.rows:
            print(f"  {step:<4}  {seconds:7.1f}  {what}")
        print(f"  total {time.monotonic() - self.started:6.1f}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help="folder of the built programs")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    parser.add_argument("--folder", help="work here instead of in a temporary folder")
    parser.add_argument("--last-step", type=int, default=99, help="of the first part")
    parser.add_argument("--screenshot", metavar="PNG", help="a picture of the dashboard, made by the browser test")
    parser.add_argument("--quick", action="store_true", help="one device; without the fleet of twenty that follows")
    parser.add_argument("--expect", action="append", default=[], metavar="NAME=JSON",
                        help="override an expectation (a test sees that a wrong one fails)")
    return parser.parse_args()


def tell(arguments, folder, worlds):
    """Plays what was asked for; the worlds it makes are the caller's to end."""
    expectations = {name: json.loads(value) for name, _, value in (e.partition("=") for e in arguments.expect)}
    worlds.append(World(folder, arguments.bin))
    story = Story(worlds[0], expectations)
    story.screenshot = arguments.screenshot
    try:
        story.play(arguments.last_step)
        if not arguments.quick and arguments.last_step >= len(story.steps()):
            if not arguments.keep:
                worlds[0].close()  # two cores: the fleet needs them
            worlds.append(World(folder / "fleet", arguments.bin))
            story.chapter("A fleet of twenty")
            Fleet(worlds[1], story).play()
        story.summary()
    finally:
        if story.feeder:
            story.feeder.ending.set()


def main():
    arguments = parse_arguments()
    folder = pathlib.Path(arguments.folder or tempfile.mkdtemp(prefix="ferry-demo-"))
    failed, worlds = True, []
    try:
        tell(arguments, folder, worlds)
        failed = False
    except StoryError as problem:
        print(f"\nthe story stopped: {problem}\n(logs: {folder})", file=sys.stderr)
    except Exception:  # a bug in the story is a failure too, with its trace
        traceback.print_exc()
    for world in worlds:
        if arguments.keep and world.server.program:
            print(f"\nleft running in {world.folder}\n  dashboard  {world.server.run['operator_url']}"
                  f"\n  token      {world.server.data / 'admin.token'}")
        else:
            world.close()
    if not failed and not arguments.folder and not arguments.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
