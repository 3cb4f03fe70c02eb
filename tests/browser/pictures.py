#!/usr/bin/env python3
"""Makes the README's pictures: a fleet story with virtual devices, photographed in Chromium.

    tests/browser/pictures.py build/release/bin docs/images

Needs web/dist (scripts/web build), ferryd, ferry and ferry-fleet. The numbers in the pictures are what happened.
"""
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fleet"))
from small_world import MODEL, SmallWorld  # noqa: E402
from harness.processes import run, wait_until  # noqa: E402

DEVICES = 240
REFERENCE_SAMPLES = 10_000  # drift wants 2,000 or more
PLAN = f"""
devices = {DEVICES}
speed = 10
download = false
[traffic]
per_s = 2
[[hardware]]
class = "x86_64-avx2-4c-8g-cpu"
share = 0.5
[[hardware]]
class = "aarch64-dotprod-4c-4g-cpu"
share = 0.3
[[hardware]]
class = "x86_64-avx512vnni-8c-16g-cpu"
share = 0.2
[[releases]]
version = "1.1.0"
fails = 0.0125
rejects = 0.0125
[[releases]]
version = "1.2.0"
latency_factor = 1.25
tail_share = 0.02
[[releases]]
version = "1.3.0"
drift_share = 0.06
drift_class = 6
"""
TRIAL = {"shadow_requests": 10, "shadow_s_max": 2, "probation_requests": 10, "probation_s": 2}
GATE = {"warm_up_s": 0, "strata": ["site"], "judge": {"p50": {"resolutions": [100, 300]}, "p99": {"resolutions": [300]}, "errors": {"resolutions": [100]},
                                                     "accuracy": {"resolutions": [20]}, "age_pass_min_s": 30, "age_max_s": 300}}
PHASES = [{"percent": 10, "soak_s": 5}, {"percent": 100, "soak_s": 0}]


def photograph(folder, bin_folder, images):
    world = SmallWorld(folder, bin_folder, gate_samples=REFERENCE_SAMPLES)
    try:
        world.serve(telemetry_interval_s=20)
        for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"):
            world.release(version)
        fleet = world.fleet([world.token(DEVICES, site=site) for site in ("oslo", "bergen", "tromso")], PLAN)
        policy = {"device_timeout_s": 600, "trial": TRIAL, "failures_max": DEVICES}
        world.wait_for_state(world.roll_out("1.0.0", policy), "done")
        world.wait_for_state(world.roll_out("1.1.0", {**policy, "phases": PHASES}), "done")

        def has_pasts():
            releases = world.server.api.get(f"/telemetry?model={MODEL}&window_s=3600")["releases"]
            return any(r["version"] == "1.1.0" and r["count"] > 600 * DEVICES for r in releases)
        wait_until("every device has a past with 1.1.0", has_pasts, 120)
        gated = world.roll_out("1.2.0", {**policy, "phases": PHASES, "gate": GATE})
        world.wait_for_state(gated, "failed", 300)
        wait_until("its canaries are back", lambda: f"{MODEL} 1.2.0" not in fleet.status()["running"])
        world.wait_for_state(world.roll_out("1.3.0", {**policy, "phases": PHASES}), "done", 120)
        wait_until("drift is found", lambda: any(c["level"] != "ok" for c in world.server.api.get(f"/drift?model={MODEL}")["cohorts"]), 300)
        run([ROOT / "scripts" / "node-env", "node", ROOT / "tests" / "browser" / "pictures.mjs", "--url", world.server.run["operator_url"],
             "--ca", world.server.run["ca_file"], "--token", world.server.data / "admin.token", "--gated", gated,
             "--plan", f"model={MODEL}&version=1.4.0&approvals=1", "--folder", images])
        fleet.stop()
    finally:
        world.close()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="ferry-pictures-") as folder:
        photograph(folder, pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve())


if __name__ == "__main__":
    main()
