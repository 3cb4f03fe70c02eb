"""Plays test images through the agent's local API, counts every request and checks every label.

Clean images and *field* images (examples/fashion-mnist/field.py) in a share the story sets. Standard library only.
"""
import array
import functools
import gzip
import http.client
import json
import pathlib
import random
import socket
import struct
import sys
import threading
import time

EXAMPLE = pathlib.Path(__file__).resolve().parents[3] / "examples" / "fashion-mnist"
DATASET_FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
sys.path.insert(0, str(EXAMPLE))
from field import to_field  # noqa: E402  (the example's own formula)

FLOAT_OF_PIXEL = [struct.pack("<f", p / 255.0) for p in range(256)]


def dataset_file(name):
    for folder in DATASET_FOLDERS:
        found = list(pathlib.Path(folder).rglob(name + "*")) if pathlib.Path(folder).is_dir() else []
        if found:
            return found[0]
    raise FileNotFoundError(f"{name}: install the package dataset-fashion-mnist")


def read_idx(name):
    path = dataset_file(name)
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    dimensions = data[3]
    return data[4 + 4 * dimensions:]


@functools.cache
def test_samples():
    """(pixels, label) of the test set, read once however many feeders there are."""
    pixels, labels = read_idx("t10k-images"), read_idx("t10k-labels")
    return [(pixels[i * 784:(i + 1) * 784], labels[i]) for i in range(len(labels))]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.unix_path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_path)


class Tally:
    """Counts of one model version as answered, clean and field apart."""

    def __init__(self):
        self.sent = self.right = self.field_sent = self.field_right = 0

    def accuracy(self):
        return self.right / self.sent if self.sent else 0.0


class Feeder(threading.Thread):
    """One client in a thread. A request that gets no right-shaped 200 answer is lost, and its story is kept."""

    def __init__(self, socket_path, model, rate_hz=150.0, field_share=0.1, seed=7, audit_every=5):
        super().__init__(daemon=True)
        self.socket_path, self.model, self.rate_hz, self.field_share = socket_path, model, rate_hz, field_share
        self.audit_every = audit_every  # of so many answers one gets its label as feedback
        self.random = random.Random(seed)
        self.samples = test_samples()
        self.condition = None  # pixels -> pixels, for every image from now on
        self.by_version = {}
        self.sent = self.answered = self.feedback_sent = 0
        self.lost = []
        self.latencies_us = array.array("d")
        self.ending = threading.Event()
        self.lock = threading.Lock()

    def run(self):
        connection = UnixConnection(self.socket_path)
        due = time.monotonic()
        while not self.ending.is_set():
            pixels, label = self.random.choice(self.samples)
            if self.condition:
                pixels = self.condition(pixels)
            field = not self.condition and self.random.random() < self.field_share
            self.ask(connection, to_field(pixels) if field else pixels, label, field)
            due = max(due + 1.0 / self.rate_hz, time.monotonic() - 0.2)
            self.ending.wait(max(0.0, due - time.monotonic()))
        connection.close()

    def ask(self, connection, pixels, label, field):
        self.sent += 1
        started = time.perf_counter()
        try:
            version, answer_label, prediction = self.infer(connection, pixels)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as problem:
            self.lost.append(repr(problem))
            connection.close()
            return
        self.latencies_us.append((time.perf_counter() - started) * 1e6)
        with self.lock:
            self.answered += 1
            tally = self.by_version.setdefault(version, Tally())
            tally.sent += 1
            tally.right += answer_label == label
            tally.field_sent += field
            tally.field_right += field and answer_label == label
        if self.answered % self.audit_every == 0:
            self.feed_back(connection, prediction, label)

    def infer(self, connection, pixels):
        head = json.dumps({
            "inputs": [{"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32",
                        "parameters": {"binary_data_size": 3136}}],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}]}).encode()
        body = head + b"".join([FLOAT_OF_PIXEL[p] for p in pixels])
        connection.request("POST", f"/v2/models/{self.model}/infer", body, {
            "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))})
        response = connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise ValueError(f"{response.status}: {data[:300]!r}")
        head_bytes = int(response.headers["Inference-Header-Content-Length"])
        answer = json.loads(data[:head_bytes])
        logits = struct.unpack("<10f", data[head_bytes:head_bytes + 40])
        return answer["model_version"], logits.index(max(logits)), answer["parameters"]["prediction_id"]

    def feed_back(self, connection, prediction, label):
        try:
            connection.request("POST", f"/v2/models/{self.model}/feedback",
                               json.dumps({"prediction_id": prediction, "label": label, "source": "audit"}))
            if connection.getresponse().read() is not None:
                self.feedback_sent += 1
        except (OSError, http.client.HTTPException):
            connection.close()

    def seen(self, version):
        with self.lock:
            tally = self.by_version.get(version)
            return tally.sent if tally else 0

    def finish(self):
        self.ending.set()
        self.join()
        return self
