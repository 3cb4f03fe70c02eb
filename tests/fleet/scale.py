#!/usr/bin/env python3
"""How ferryd scales with virtual devices: check-ins, uploads and its CPU time for each, from one run.

    tests/fleet/scale.py --bin build/release/bin --devices 200 1000 4000 [--seconds 20]

Every device checks in each second and keeps its connection. First all are idle (check-ins alone), then each also
uploads a telemetry window every two seconds. CPU time is the server's, all threads, user and system.
"""
import argparse
import pathlib
import sys
import tempfile
import threading

from small_world import SmallWorld
from harness.processes import wait_until  # small_world says where it is

TRIAL = {"shadow_requests": 1, "shadow_s_max": 1, "probation_requests": 1, "probation_s": 1}
HEADER = f"{'devices':>8} {'enrolled/s':>10} {'check-ins/s':>11} {'us/check-in':>11} {'p50 us':>8} {'p99 us':>8} {'uploads/s':>9} {'us/upload':>9}"


def between(fleet, seconds):
    """What happened in the next so many seconds: (seconds, server's CPU seconds, check-ins, uploads)."""
    def seen():
        return fleet.status()["since_enrolled"], fleet.status()
    first, before = seen()
    threading.Event().wait(seconds)
    wait_until("the fleet's status moves on", lambda: fleet.status()["since_enrolled"]["seconds"] > first["seconds"] + seconds / 2)
    last, after = seen()
    return (last["seconds"] - first["seconds"], last["server_cpu_s"] - first["server_cpu_s"],
            after["check_ins"] - before["check_ins"], after["uploads"] - before["uploads"])


def measure(folder, bin_folder, devices, seconds):
    world = SmallWorld(folder, bin_folder)
    try:
        world.serve(telemetry_interval_s=2)
        world.release("1.0.0")
        idle = world.fleet([world.token(devices)], f"devices = {devices}\ndownload = false\n[traffic]\nper_s = 0\n", "idle")
        passed, cpu, check_ins, _ = between(idle, seconds)
        steady = idle.stop()["since_enrolled"]
        enrolled = steady["enrolled_per_s"]
        check_in_us = cpu / check_ins * 1e6
        busy = world.fleet([world.token(devices)], f"devices = {devices}\ndownload = false\n[traffic]\nper_s = 20\n", "busy")
        world.roll_out("1.0.0", {"device_timeout_s": 600, "trial": TRIAL, "failures_max": devices})
        wait_until("all devices run it, and have uploaded", lambda: busy.status()["running"].get("fashion-mnist 1.0.0") == devices
                   and busy.status()["uploads"] > devices, 600)
        passed_busy, busy_cpu, busy_check_ins, uploads = between(busy, seconds)
        upload_us = (busy_cpu * 1e6 - busy_check_ins * check_in_us) / max(uploads, 1)
        busy.stop()
        print(f"{devices:>8} {enrolled:>10.0f} {check_ins / passed:>11.0f} {check_in_us:>11.0f} {steady['check_in_p50_us']:>8.0f} "
              f"{steady['check_in_p99_us']:>8.0f} {uploads / passed_busy:>9.0f} {upload_us:>9.0f}", flush=True)
    finally:
        world.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--devices", type=int, nargs="+", default=[200, 1000, 4000])
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    print(HEADER, flush=True)
    for devices in arguments.devices:
        with tempfile.TemporaryDirectory(prefix="ferry-scale-") as folder:
            measure(folder, pathlib.Path(arguments.bin).resolve(), devices, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
