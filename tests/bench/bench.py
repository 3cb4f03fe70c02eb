#!/usr/bin/env python3
"""Ferry's figures beside their references, all from one run on this machine: one table, and results.json.

Real processes, loopback only; everything started here is ended here, also on failure. What each figure means:
docs/benchmarks.md.
"""
import argparse
import datetime
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "e2e")]
import figures  # noqa: E402
import machine  # noqa: E402
from harness.processes import StoryError, require, run, wait_until  # noqa: E402
from harness.world import EXAMPLE, MODEL, ROOT, World  # noqa: E402

VERSION = "1.1.0"
SECONDS_MAX = 600  # of the whole run; then it ends and says so
UNSTEADY = 0.30    # largest minus smallest sample, as a share of the median
ROLLOUT = """
[[phases]]
percent = 100
soak_s = 0
[trial]
trial_deadline_s = 60
probation_requests = 1
probation_s = 1
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, arguments):
        self.quick = arguments.quick
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ferry-bench-"))
        self.world = World(self.folder, arguments.bin)
        self.device = None

    def gate_policy(self):
        """The example's policy over fewer images: what is measured here is not the gate."""
        text = (EXAMPLE / "gate.toml").read_text()
        require("limit = 10000" in text, "examples/fashion-mnist/gate.toml no longer says limit = 10000")
        path = self.folder / "gate.toml"
        path.write_text(text.replace("limit = 10000", "limit = 2000"))
        return path

    def prepare(self):
        """A server, one device that runs the release, and the release in trust."""
        world, server = self.world, self.world.server
        server.init()
        world.ferry("key", "init", "--online", server.data / "online" / "public.json", "--model", MODEL, "-d", world.keys)
        server.start()
        world.ferry("key", "publish", "--keys", world.keys)
        bundle = self.folder / "bundle"
        world.ferry("bundle", "pack", "-f", EXAMPLE / "bundle.toml", "--version", VERSION, "--counter", 1, "-d", bundle)
        world.ferry("gate", "run", bundle, "--policy", self.gate_policy(), "--key", world.keys / "gate.pem")
        world.ferry("release", "publish", bundle, "--key", world.keys / f"release-{MODEL}.pem")
        self.device = world.device("device")
        self.device.enrol(world.ferry_json("token", "create", "--uses", "1")["token"])
        self.device.start()
        rollout = self.folder / "rollout.toml"
        rollout.write_text(ROLLOUT)
        world.ferry("rollout", "create", f"{MODEL}@{VERSION}", "--policy", rollout, "--wait", limit_s=90)
        wait_until(f"the device serves {VERSION}, and no rollout is under way", self.settled)

    def settled(self):
        """As most of a device's life is: the release is simply current (telemetry then names no rollout)."""
        state = self.device.slot_state()
        slot = state.get("active") and state["slots"][state["active"]]
        serving = (self.device.model_status().get("active") or {}).get("state") == "serving"
        return serving and slot["version"] == VERSION and slot["rollout"] == ""

    def enrol_fleet(self, count):
        """Devices that only check in: their identities are all the load client needs."""
        token = self.world.ferry_json("token", "create", "--uses", str(count))["token"]
        devices = [self.world.device(f"fleet-{number}") for number in range(count)]
        for device in devices:
            device.enrol(token)
        return [device.data / "identity" for device in devices]

    def measure(self):
        world, device, quick = self.world, self.device, self.quick
        found = []
        say("telemetry cost …")
        found += figures.checked(figures.telemetry_cost, world, quick)
        say("telemetry upload …")
        found += figures.checked(figures.telemetry_upload, world, device, quick)
        say("supervisor memory …")
        found += figures.checked(figures.supervisor_memory, world, device, quick)
        say("local API …")
        found += figures.checked(figures.local_api, world, device, quick)
        device.program.stop()
        say("check-ins …")
        identities = self.enrol_fleet(64)
        found += figures.checked(figures.check_ins, world, identities, quick)
        say("telemetry ingest …")
        found += figures.checked(figures.telemetry_ingest, world, device, identities, quick)
        return found

    def close(self, failed):
        self.world.close()
        if failed:
            say(f"logs: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


def amount(value):
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def amounts(spread):
    return f"{amount(spread['median'])} ({amount(spread['min'])}–{amount(spread['max'])})"


def doubts(one):
    """Why a figure of this run should not be believed; empty when nothing speaks against it."""
    found = []
    if not one["timed"]:
        return ""
    if one["other_load"] > machine.OTHER_LOAD_MAX:
        found.append(f"others used {one['other_load']:.0%} of the machine")
    for side in ("ours", "reference"):
        spread = one[side]
        if spread["max"] - spread["min"] > UNSTEADY * spread["median"]:
            found.append(f"{side} unsteady")
    return ", ".join(found)


def table(found):
    rows = [("figure", "ours: median (min–max)", "reference: median (min–max)", "ratio", "goal", "")]
    for one in found:
        reference = one["reference"]
        doubt = doubts(one)
        rows.append((one["figure"], f"{amounts(one['ours'])} {one['unit']}",
                     f"{amounts(reference)} {one['unit']}  {reference['name']}", f"{one['ratio']:.2f}", one["goal"],
                     {True: "met", False: "MISSED", None: ""}[one["met"]] + (f"; too busy to tell: {doubt}" if doubt else "")))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def parse_arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--results", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="the same figures from shorter runs, under a minute")
    return parser.parse_args()


def stopped(number, _frame):
    raise StoryError("the run took too long" if number == signal.SIGALRM else f"ended by signal {number}")


def main():
    arguments = parse_arguments()
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stopped)
    signal.alarm(SECONDS_MAX)
    started, bench, failed = time.monotonic(), None, True
    try:
        bench = Bench(arguments)
        say("preparing a server, a device and a release …")
        bench.prepare()
        found = bench.measure()
        failed = False
    except (StoryError, OSError, ValueError, subprocess.TimeoutExpired) as problem:
        say(f"\nno figures: {problem}")
        return 1
    finally:
        signal.alarm(0)
        if bench:
            bench.close(failed)
    commit, _ = run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])
    report = {"format": "ferry.bench/1", "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "commit": commit.strip(), "quick": arguments.quick, "seconds": round(time.monotonic() - started, 1),
              "machine": machine.describe(), "figures": found}
    path = pathlib.Path(arguments.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    about = report["machine"]
    print(f"{report['at']}  {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, Linux {about['kernel']}, "
          f"commit {report['commit']}{', quick' if arguments.quick else ''}, {report['seconds']} s\n\n{table(found)}\n\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
