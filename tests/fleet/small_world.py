"""A server with small releases and a virtual fleet: what the tests over ferry-fleet stand on.

The releases are real (packed, gated, signed, published by the command line), with one small variant and a quick gate.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness.processes import Program, StoryError, require, wait_until  # noqa: E402
from harness.world import EXAMPLE, MODEL, World, read_json  # noqa: E402

MODEL_FILE = EXAMPLE / "models" / "1.3.0" / "fp32.onnx"  # the smallest

# Budgets that any machine meets and few samples: these tests are about devices, not about gates.
GATE = """format = "ferry.gate/1"
[dataset]
name = "fashion-mnist-test"
images = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz"
labels = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz"
scale = 0.00392156862745098
offset = 0.0
limit = {samples}
[accuracy]
top1_ppm_min = 100000
margin_ppm = 500000
[latency]
p99_us_max = 1000000
samples = 700
margin = 9.0
[memory]
peak_mib_max = 4096
[golden]
samples = 4
"""


def recipe():
    """The example's contract with one variant."""
    contract = (EXAMPLE / "bundle.toml").read_text().partition("[[variants]]")[0]
    return contract + f"""[[variants]]
name = "fp32"
file = "{MODEL_FILE}"
precision = "fp32"
golden_tolerance = 0.01
[variants.budget]
latency_p99_us = 1000000
memory_mib = 4096
"""


class VirtualFleet:
    """One ferry-fleet process."""

    def __init__(self, world, tokens, plan, name="fleet"):
        self.world, self.name = world, name
        folder = world.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.toml").write_text('format = "ferry.fleet-plan/1"\n' + plan)
        self.status_file, self.log = folder / "status.json", folder / "fleet.log"
        argv = [world.bin / "ferry-fleet", "--plan", folder / "plan.toml", "--status", self.status_file,
                "--server-pid", world.server.program.pid]
        for number, token in enumerate(tokens):
            (folder / f"{number}.token").write_text(token)
            (folder / f"{number}.token").chmod(0o600)
            argv += ["--token-file", folder / f"{number}.token"]
        self.program = Program(name, argv, self.log)

    def start(self):
        self.program.start()
        wait_until("every device has enrolled", lambda: self.program.check_alive() and self.status().get("state") == "running", 120)
        return self

    def status(self):
        return read_json(self.status_file) or {}

    def stop(self):
        """SIGTERM; what it printed at its end."""
        self.program.stop()
        ended = self.status()
        require(ended.get("state") == "ended", f"the fleet's last status: {ended}")
        return ended


class SmallWorld(World):
    """`serve()`, then releases, tokens, fleets, rollouts."""

    def __init__(self, folder, bin_folder, gate_samples=1000):
        super().__init__(folder, bin_folder)
        require((self.bin / "ferry-fleet").exists(), f"{self.bin / 'ferry-fleet'} is missing: build it first")
        self.fleets, self.counter = [], 0
        (self.folder / "bundle.toml").write_text(recipe())
        (self.folder / "gate.toml").write_text(GATE.format(samples=gate_samples))

    def serve(self, telemetry_interval_s=2):
        self.server.init()
        self.ferry("key", "init", "--online", self.server.data / "online" / "public.json", "--model", MODEL, "-d", self.keys)
        self.server.start(telemetry_interval_s=telemetry_interval_s)
        self.ferry("key", "publish", "--keys", self.keys)
        return self

    def release(self, version):
        self.counter += 1
        bundle = self.folder / "bundles" / version
        self.ferry("bundle", "pack", "-f", self.folder / "bundle.toml", "--version", version, "--counter", self.counter, "-d", bundle)
        self.ferry("gate", "run", bundle, "--policy", self.folder / "gate.toml", "--key", self.keys / "gate.pem")
        self.ferry("release", "publish", bundle, "--key", self.keys / f"release-{MODEL}.pem")

    def token(self, uses, **labels):
        arguments = [part for key, value in labels.items() for part in ("--label", f"{key}={value}")]
        return self.ferry_json("token", "create", "--uses", str(uses), *arguments)["token"]

    def fleet(self, tokens, plan, name="fleet"):
        self.fleets.append(VirtualFleet(self, tokens, plan, name))
        return self.fleets[-1].start()

    def roll_out(self, version, policy, selector="*"):
        status, body = self.server.api.request("POST", "/api/v1/rollouts", {
            "model": MODEL, "version": version, "selector": selector, "policy": policy})
        require(status == 201, f"rollout of {version}: {status} {body}")
        return body["id"]

    def rollout(self, rollout):
        return self.server.api.get(f"/rollouts/{rollout}") or {}

    def wait_for_state(self, rollout, state, limit_s=90):
        def reached():
            seen = self.rollout(rollout)
            ended = seen.get("state") in ("done", "failed", "aborted", "denied")
            require(not ended or seen["state"] == state, f"rollout ended {seen.get('state')} ({seen.get('reason')}), "
                    f"expected {state}: {str(seen.get('failures'))[:500]} {str(seen.get('log'))[:1000]}")
            return seen if seen.get("state") == state else None
        try:
            return wait_until(f"rollout {rollout} is {state}", reached, limit_s)
        except StoryError as late:
            seen = self.rollout(rollout)
            raise StoryError(f"{late}; it is {seen.get('state')} ({seen.get('reason')}), devices {seen.get('devices')}, "
                             f"log {str(seen.get('log'))[:1500]}, gate {str(self.server.api.get(f'/rollouts/{rollout}/verdict'))[-1500:]}") from None

    def close(self):
        for fleet in self.fleets:
            fleet.program.kill()
        super().close()
