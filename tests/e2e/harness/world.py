"""One small world: keys, a server, devices, the CLI. Everything in one folder, every port chosen by the system."""
import http.client
import json
import os
import pathlib
import signal

from .feeder import UnixConnection
from .operator_api import OperatorApi
from .processes import Program, StoryError, require, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "fashion-mnist"
MODEL = "fashion-mnist"


def read_json(path):
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return None


class Server:
    def __init__(self, world):
        self.world, self.data = world, world.folder / "server"
        self.program, self.ports = None, {}

    def init(self):
        run([self.world.bin / "ferryd", "init", "--data", self.data, "--name", "localhost,127.0.0.1"])

    def start(self, bytes_per_second=0, telemetry_interval_s=None):
        run_file = self.data / "run" / "server.json"
        run_file.unlink(missing_ok=True)
        argv = [self.world.bin / "ferryd", "serve", "--data", self.data, "--poll-interval", "1",
                "--device-listen", f"127.0.0.1:{self.ports.get('device', 0)}",
                "--operator-listen", f"127.0.0.1:{self.ports.get('operator', 0)}",
                "--download-bytes-per-second", bytes_per_second, "--ui-dir", ROOT / "web" / "dist",
                "--log-format", "text"]
        if telemetry_interval_s:
            argv += ["--telemetry-interval", telemetry_interval_s]
        self.program = Program("ferryd", argv, self.world.folder / "ferryd.log").start()
        self.run = wait_until("ferryd writes run/server.json",
                              lambda: self.program.check_alive() and read_json(run_file))
        # Started again it must be found where its devices know it.
        self.ports = {"device": self.run["device_url"].rsplit(":", 1)[1].strip("/"),
                      "operator": self.run["operator_url"].rsplit(":", 1)[1].strip("/")}
        self.token = (self.data / "admin.token").read_text().strip()
        self.api = OperatorApi(self.run["operator_url"], self.run["ca_file"], self.token)
        wait_until("/readyz answers 200", lambda: self.api.request("GET", "/readyz")[0] == 200)
        return self


class Device:
    """One agent with its own data folder."""

    def __init__(self, world, name):
        self.world, self.name, self.data = world, name, world.folder / name
        self.program, self.config = None, None  # agent.toml, when there is one

    def enrol(self, token):
        run([self.world.bin / "ferry-agent", "enroll", "--data", self.data, "--token", token])
        self.id = read_json(self.data / "identity" / "device.json")["device"]

    def start(self):
        (self.data / "run" / "agent.json").unlink(missing_ok=True)
        argv = [self.world.bin / "ferry-agent", "run", "--data", self.data, "--worker", self.world.bin / "ferry-worker",
                "--runtime-library", self.world.runtime_library, "--log-format", "text"]
        if self.config:
            argv += ["--config", self.config]
        self.program = Program(self.name, argv, self.world.folder / f"{self.name}.log").start()
        self.run = wait_until("the agent writes run/agent.json",
                              lambda: self.program.check_alive() and read_json(self.data / "run" / "agent.json"))
        return self

    def kill(self):
        """SIGKILL, as a power cut would: the supervisor gets no chance to tidy up. Its workers die with it."""
        os.kill(self.program.pid, signal.SIGKILL)
        self.program.process.wait()

    def ask(self, path):
        """(status, body) of the local API; (0, b"") while the agent is away."""
        connection = UnixConnection(self.data / "run" / "infer.sock")
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def status(self):
        """The device's own words; None while it is away."""
        code, body = self.ask("/ferry/v1/status")
        return json.loads(body) if code == 200 else None

    def model_ready(self):
        return self.ask(f"/v2/models/{MODEL}/ready")[0] == 200

    def model_status(self):
        status = self.status()
        return next((m for m in (status or {}).get("models", []) if m["model"] == MODEL), {})

    def active_version(self):
        return (self.model_status().get("active") or {}).get("version")

    def slot_state(self):
        """The newer valid copy of the slot state, read from disk as docs/formats/slots.md says."""
        import hashlib
        newest = None
        for copy in ("state.0", "state.1"):
            try:
                digest, _, rest = (self.data / "models" / MODEL / copy).read_bytes().partition(b"\n")
            except OSError:
                continue
            if hashlib.sha256(rest).hexdigest().encode() != digest.strip():
                continue
            state = json.loads(rest)
            if newest is None or state["generation"] > newest["generation"]:
                newest = state
        return newest or {}

    def partial_bytes(self):
        parts = list((self.data / "models" / MODEL / "download").glob("*.part"))
        return max((p.stat().st_size for p in parts), default=0)


class World:
    def __init__(self, folder, bin_folder):
        self.folder, self.bin = pathlib.Path(folder), pathlib.Path(bin_folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.runtime_library = os.environ.get(
            "FERRY_RUNTIME_LIBRARY", str(ROOT / "build/deps/onnxruntime/lib/libonnxruntime.so.1"))
        self.keys, self.server, self.devices = self.folder / "keys", Server(self), []
        for program in ("ferryd", "ferry-agent", "ferry-worker", "ferry"):
            require((self.bin / program).exists(), f"{self.bin / program} is missing: build it first (scripts/demo does)")

    def device(self, name):
        self.devices.append(Device(self, name))
        return self.devices[-1]

    def ferry(self, *arguments, expect=0, limit_s=300):
        """The CLI with the server's address and token from the environment, as CI would set them."""
        env = {"FERRY_TOKEN_FILE": str(self.server.data / "admin.token"), "CI": "true", "NO_COLOR": "1"}
        if self.server.program:
            env |= {"FERRY_SERVER": self.server.run["operator_url"], "FERRY_CA_FILE": self.server.run["ca_file"]}
        env["FERRY_RUNTIME_LIBRARY"] = self.runtime_library
        return run([self.bin / "ferry", *arguments], env, expect, limit_s)

    def ferry_json(self, *arguments, expect=0):
        out, _ = self.ferry(*arguments, "-o", "json", expect=expect)
        try:
            return json.loads(out)
        except ValueError:
            raise StoryError(f"ferry {' '.join(map(str, arguments))} -o json did not print JSON:\n{out[-2000:]}") from None

    def close(self):
        for device in self.devices:
            if device.program:
                device.program.kill()
        if self.server.program:
            self.server.program.kill()
