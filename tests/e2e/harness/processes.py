"""Programs started for real, killed for real, and waits that end."""
import os
import pathlib
import signal
import subprocess
import threading
import time

POLL_S = 0.02


class StoryError(Exception):
    """The story did not go as promised; the message says what was seen and what was expected."""


def wait_until(what, condition, limit_s=30.0):
    """Returns the first truthy value of condition(); StoryError with the last value when the limit passes."""
    deadline = time.monotonic() + limit_s
    value = None
    pause = threading.Event()
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        pause.wait(POLL_S)
    raise StoryError(f"waited {limit_s:.0f} s for: {what}; last seen: {value!r}")


def require(condition, what):
    if not condition:
        raise StoryError(what)


class Program:
    """One long-running process with its log in a file. kill() is SIGKILL; stop() is SIGTERM and a clean exit."""

    def __init__(self, name, argv, log_path, env=None):
        self.name = name
        self.argv = [str(a) for a in argv]
        self.log_path = pathlib.Path(log_path)
        self.env = {**os.environ, **(env or {})}
        self.process = None

    def start(self):
        require(not self.alive(), f"{self.name} is already running")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, start_new_session=True)
        return self

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check_alive(self):
        if not self.alive():
            code = self.process.returncode if self.process else None
            raise StoryError(f"{self.name} ended (code {code}); its log {self.log_path} ends with:\n{self.log_tail()}")
        return True

    def kill(self):
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def stop(self, limit_s=20):
        if not self.alive():
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise StoryError(f"{self.name} did not end within {limit_s} s of SIGTERM\n{self.log_tail()}") from None
        require(code == 0, f"{self.name} ended with {code} after SIGTERM\n{self.log_tail()}")

    def log_tail(self, lines=25):
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"


def run(argv, env=None, expect=0, limit_s=180):
    """Runs a command to its end and returns (stdout, stderr); another exit code than expected is a StoryError."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env={**os.environ, **(env or {})}, timeout=limit_s, check=False)
    if done.returncode != expect:
        raise StoryError(f"{' '.join(str(a) for a in argv)}\nended with {done.returncode}, expected {expect}\n"
                         f"{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout, done.stderr
