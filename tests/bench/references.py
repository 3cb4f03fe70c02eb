"""The programs Ferry is measured beside, each run with settings of its own in a temporary folder, unprivileged."""
import os
import shutil
import signal
import socket
import subprocess
import sys
import pathlib

import machine

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness.processes import Program, StoryError, wait_until  # noqa: E402

NGINX_CONF = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type application/json;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  tcp_nodelay on; open_file_cache max=16; open_file_cache_valid 60s;
  keepalive_timeout 120s; keepalive_requests 1000000000;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
    ssl_client_certificate {client_ca}; ssl_verify_client on;
    root {folder}/www;
  }}
}}
"""

RAUC_CONF = """
[system]
compatible=bench
bootloader=noop
statusfile={folder}/status
[keyring]
path={ca}
[slot.rootfs.0]
device={folder}/a.img
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/b.img
type=raw
bootname=B
"""

BUS_CONF = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
"""


class Group(Program):
    """A program and whatever it starts, ended together."""

    def end(self):
        if self.process is None:
            return
        try:
            self.stop(5)
        except StoryError:
            pass  # whatever it thinks of SIGTERM, it ends here
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # it leads a session of its own
        except ProcessLookupError:
            pass
        self.process.wait()


def free_port():
    """A port that was free a moment ago: nginx cannot be told to take any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Nginx:
    """nginx serving one static file over mutual TLS."""

    def __init__(self, folder, certificate, key, client_ca, body):
        self.folder, self.program, self.port = pathlib.Path(folder), None, 0
        (self.folder / "www").mkdir(parents=True)
        (self.folder / "www" / "assignment").write_bytes(body)
        self.settings = {"folder": folder, "certificate": certificate, "key": key, "client_ca": client_ca,
                         "user": "user root;" if os.geteuid() == 0 else ""}

    def start(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        for _ in range(5):  # another process may take the port between our look and nginx's bind
            self.port = free_port()
            (self.folder / "nginx.conf").write_text(NGINX_CONF.format(port=self.port, **self.settings))
            self.program = Group("nginx", [program, "-p", self.folder, "-c", self.folder / "nginx.conf"],
                                 self.folder / "nginx.log").start()
            wait_until("nginx answers or ends", lambda: answers(self.port) or not self.program.alive(), 10)
            if self.program.alive():
                wait_until("nginx has its worker", lambda: machine.children_of(self.program.pid), 10)
                return self
        raise StoryError(f"nginx does not start:\n{self.program.log_tail()}")

    def pids(self):
        return [self.program.pid, *machine.children_of(self.program.pid)]

    def version(self):
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        return subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr.split("/")[-1].strip()

    def close(self):
        if self.program:
            self.program.end()


class Rauc:
    """RAUC's service, idle, on a message bus of its own: the closest updater that holds A/B slots."""

    def __init__(self, folder, ca):
        self.folder, self.programs = pathlib.Path(folder), []
        self.folder.mkdir(parents=True)
        for image in ("a.img", "b.img"):
            (self.folder / image).touch()
        (self.folder / "system.conf").write_text(RAUC_CONF.format(folder=folder, ca=ca))
        (self.folder / "bus.conf").write_text(BUS_CONF.format(folder=folder))
        self.bus = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}

    def start(self):
        self.programs.append(Group("dbus-daemon", ["dbus-daemon", f"--config-file={self.folder}/bus.conf", "--nofork",
                                                   "--nopidfile"], self.folder / "bus.log").start())
        wait_until("the bus is there", (self.folder / "bus").exists, 10)
        self.programs.append(Group("rauc", ["rauc", "service", f"--conf={self.folder}/system.conf",
                                            "--override-boot-slot=A"], self.folder / "rauc.log", self.bus).start())
        wait_until("RAUC's service answers", self.answers, 20)
        return self

    def answers(self):
        self.programs[-1].check_alive()
        try:  # asked before the service has its name on the bus, the client waits for ever
            done = subprocess.run(["rauc", "status", f"--conf={self.folder}/system.conf"], capture_output=True,
                                  check=False, env={**os.environ, **self.bus}, timeout=1)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def pid(self):
        return self.programs[-1].pid

    def version(self):
        return subprocess.run(["rauc", "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def close(self):
        for program in reversed(self.programs):
            program.end()
