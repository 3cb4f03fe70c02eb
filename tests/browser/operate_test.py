"""Starts a server with a virtual fleet and lets operate.mjs drive rollouts through the dashboard in Chromium.

Run: operate_test.py <folder of the built programs>
"""
import pathlib
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "fleet"))
from small_world import MODEL, SmallWorld  # noqa: E402
from harness.processes import run, wait_until  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/dev/bin").resolve()
DEVICES = 24
# Ten times as fast as real devices: the test waits for what they do.
PLAN = f"""
devices = {DEVICES}
speed = 10
download = false
[[hardware]]
class = "x86_64-avx2-4c-8g-cpu"
share = 0.5
[[hardware]]
class = "aarch64-dotprod-4c-4g-cpu"
share = 0.5
[[releases]]
version = "1.3.0"
fails = 0.125
times = 1
"""
TRIAL = {"shadow_requests": 1, "shadow_s_max": 1, "probation_requests": 1, "probation_s": 1}


def access_token(world, name):
    status, body = world.server.api.request("POST", "/api/v1/access-tokens", {"name": name, "role": "operator", "ttl_s": 0})
    if status != 201:
        raise RuntimeError(f"access token of {name}: {status} {body}")
    file = world.folder / f"{name}.token"
    file.write_text(body["token"])
    return file


class OperateTest(unittest.TestCase):
    def setUp(self):
        for needed in ("web/dist/index.html", "web/node_modules/playwright-core"):
            self.assertTrue((ROOT / needed).exists(), f"{needed} is missing: scripts/setup web, then scripts/web")

    def test_two_people_run_rollouts_through_the_dashboard(self):
        with tempfile.TemporaryDirectory(prefix="ferry-operate-") as folder:
            world = SmallWorld(folder, BIN)
            try:
                world.serve(telemetry_interval_s=10)
                for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
                    world.release(version)
                fleet = world.fleet([world.token(DEVICES, site=site) for site in ("oslo", "bergen")], PLAN)
                world.wait_for_state(world.roll_out("1.0.0", {"trial": TRIAL}), "done")
                wait_until("the devices say so", lambda: fleet.status()["running"] == {f"{MODEL} 1.0.0": DEVICES})
                out, _ = run([ROOT / "scripts" / "node-env", "node", ROOT / "tests" / "browser" / "operate.mjs",
                              "--url", world.server.run["operator_url"], "--ca", world.server.run["ca_file"],
                              "--maker", access_token(world, "asta"), "--checker", access_token(world, "bo"),
                              "--fleet", fleet.status_file])
                print(out)
                self.assertRegex(out, r"(?m)^. fail 0$")
                self.assertRegex(out, r"(?m)^. pass 1[0-9]$")
                self.assertEqual(fleet.stop()["refused"], {})
            finally:
                world.close()


if __name__ == "__main__":
    unittest.main()
