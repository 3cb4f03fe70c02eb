"""VictoriaMetrics, somebody else's receiver of OTLP: Debian 13's package, unpacked by scripts/setup, not installed."""
import http.client
import json
import os
import pathlib
import socket
import urllib.parse

from .processes import Program, StoryError, require, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[3]
STARTS_MAX = 5  # another process may take the port between our look and its bind
OTLP_PATH = "/opentelemetry/v1/metrics"


def program_path():
    deps = pathlib.Path(os.environ.get("FERRY_CACHE") or ROOT / "build" / "deps")
    path = deps / "victoria-metrics" / "usr" / "bin" / "victoria-metrics"
    require(path.exists(), f"{path} is missing: run scripts/setup test")
    return path


def free_port():
    """A port that was free a moment ago: the program cannot be told to take any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class VictoriaMetrics:
    """One process with its data in a folder. Stopped and started again it is at the same address with the same data."""

    def __init__(self, folder):
        self.folder, self.program, self.port = pathlib.Path(folder), None, 0
        self.folder.mkdir(parents=True)

    @property
    def otlp_url(self):
        return f"http://127.0.0.1:{self.port}{OTLP_PATH}"

    def start(self):
        known = self.port
        for _ in range(STARTS_MAX):
            self.port = known or free_port()
            argv = [program_path(), f"-httpListenAddr=127.0.0.1:{self.port}", f"-storageDataPath={self.folder}/data",
                    "-retentionPeriod=100y", "-search.latencyOffset=0s", "-memory.allowedPercent=20"]
            self.program = Program("victoria-metrics", argv, self.folder / "log").start()
            wait_until("VictoriaMetrics answers or ends", lambda: self.healthy() or not self.program.alive(), 30)
            if self.program.alive():
                return self
        raise StoryError(f"VictoriaMetrics does not start:\n{self.program.log_tail()}")

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def healthy(self):
        try:
            return self.request("GET", "/health")[0] == 200
        except OSError:
            return False

    def get(self, path, **query):
        status, body = self.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        require(status == 200, f"VictoriaMetrics: {path}: {status}: {body[:500]!r}")
        return body

    def series(self, name=None):
        """[(labels with __name__, [values in order of time])] of everything it holds, or of one metric."""
        self.get("/internal/force_flush")  # what was accepted is visible to queries now
        match = f'{{__name__="{name}"}}' if name else '{__name__!=""}'
        lines = self.get("/api/v1/export", **{"match[]": match}).splitlines()
        return [(one["metric"], one["values"]) for one in map(json.loads, lines)]

    def query(self, expression):
        """[(labels, value)] of an instant query, now."""
        self.get("/internal/force_flush")
        found = json.loads(self.get("/api/v1/query", query=expression))["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def dropped_rows(self):
        """{reason: rows} of what its OTLP parser did not take."""
        lines = self.get("/metrics").decode().splitlines()
        wanted = 'vm_protoparser_rows_dropped_total{type="opentelemetry",reason="'
        found = {line[len(wanted):line.index('"}')]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted)}
        return {reason: rows for reason, rows in found.items() if rows > 0}

    def version(self):
        """Of the package: the program itself was built without its own."""
        stamp = program_path().parents[2] / ".ferry-package"
        return stamp.read_text().split()[1].split("+")[0]

    def stop(self):
        self.program.stop()

    def close(self):
        if self.program:
            self.program.kill()
