"""ferryd, ferry-agent and ferry as processes: how they start, end, are killed, and whom they let in.

Run: processes_test.py <folder of the built programs>
"""
import http.client
import json
import os
import pathlib
import signal
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from harness.operator_api import OperatorApi  # noqa: E402
from harness.processes import StoryError, run, wait_until  # noqa: E402
from harness.world import MODEL, World  # noqa: E402

BIN = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else "build/dev/bin").resolve()


def ended(argv):
    """(exit code, stderr) of a command that is meant to end by itself."""
    done = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)
    return done.returncode, done.stderr


class Processes(unittest.TestCase):
    """One server with a trust root for all tests; each makes the devices it needs."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="ferry-processes-")
        cls.world = World(cls.folder.name, BIN)
        cls.server = cls.world.server
        cls.server.init()
        cls.world.ferry("key", "init", "--online", cls.server.data / "online" / "public.json", "--model", MODEL,
                        "-d", cls.world.keys)
        cls.server.start()
        cls.world.ferry("key", "publish", "--keys", cls.world.keys)

    @classmethod
    def tearDownClass(cls):
        cls.world.close()
        cls.folder.cleanup()

    def token(self, uses=1):
        return self.world.ferry_json("token", "create", "--uses", str(uses))["token"]

    def enrolled(self, name):
        device = self.world.device(name)
        device.enrol(self.token())
        return device

    def ask_as(self, path, certificate=None, method="GET"):
        """The device listener's answer, with the device's certificate or none; None when TLS itself refuses."""
        parts = urllib.parse.urlsplit(self.server.run["device_url"])
        context = ssl.create_default_context(cafile=self.server.run["ca_file"])
        if certificate:
            context.load_cert_chain(*certificate)
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=20)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ssl.SSLError, ConnectionError):
            return None
        finally:
            connection.close()

    # -- who is let in ------------------------------------------------------------------------------------------

    def test_without_a_certificate_a_device_sees_only_what_enrolment_needs(self):
        self.assertEqual(self.ask_as("/.well-known/est/cacerts")[0], 200)
        self.assertEqual(self.ask_as("/device/v1/root.json")[0], 200)
        for path in ("/device/v1/assignment", "/device/v1/metadata/timestamp.json", "/device/v1/blobs/sha256/" + "0" * 64):
            status, body = self.ask_as(path)
            self.assertEqual(status, 403, path)
            self.assertEqual(json.loads(body)["code"], "device_unknown")

    def test_a_certificate_of_another_authority_is_refused(self):
        folder = pathlib.Path(self.folder.name)
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=dev-000000000000", "-keyout", folder / "other.key", "-out", folder / "other.pem"])
        answer = self.ask_as("/device/v1/assignment", (folder / "other.pem", folder / "other.key"))
        self.assertTrue(answer is None or answer[0] == 403, answer)

    def test_an_enrolled_device_checks_in_and_a_revoked_one_is_refused_on_its_next_request(self):
        device = self.enrolled("revoked")
        certificate = (device.data / "identity" / "certificate.pem", device.data / "identity" / "key.pem")
        status, body = self.ask_as("/device/v1/assignment", certificate)
        self.assertEqual((status, json.loads(body)["device"]), (200, device.id))
        self.world.ferry("device", "revoke", device.id)
        status, body = self.ask_as("/device/v1/assignment", certificate)
        self.assertEqual((status, json.loads(body)["code"]), (403, "device_revoked"))

    def test_an_enrolment_token_is_good_for_its_uses_and_no_more(self):
        token = self.token(uses=1)
        self.world.device("first").enrol(token)
        with self.assertRaises(StoryError) as refused:
            self.world.device("second").enrol(token)
        self.assertIn("used up", str(refused.exception))
        self.assertFalse((pathlib.Path(self.folder.name) / "second" / "identity" / "device.json").exists())

    def test_the_operator_api_wants_a_token_and_the_role(self):
        api = self.server.api
        url, ca = self.server.run["operator_url"], self.server.run["ca_file"]
        self.assertEqual(OperatorApi(url, ca, "wrong").request("GET", "/api/v1/devices")[0], 401)
        _, made = api.request("POST", "/api/v1/access-tokens", {"name": "eyes", "role": "viewer"})
        viewer = OperatorApi(url, ca, made["token"])
        self.assertEqual(viewer.request("GET", "/api/v1/devices")[0], 200)
        status, problem = viewer.request("POST", "/api/v1/tokens", {})
        self.assertEqual((status, problem["code"]), (403, "denied"))
        self.assertIn("operator", problem["detail"])

    def test_a_member_that_the_api_does_not_know_is_named_with_the_one_that_was_meant(self):
        status, problem = self.server.api.request("POST", "/api/v1/tokens", {"usess": 3})
        self.assertEqual(status, 400)
        self.assertIn("usess", problem["detail"])
        self.assertIn("uses", problem["detail"].replace("usess", ""))

    # -- how processes start and end ----------------------------------------------------------------------------

    def test_a_second_server_on_the_same_folder_is_refused(self):
        code, errors = ended([BIN / "ferryd", "serve", "--data", self.server.data])
        self.assertEqual(code, 5, errors)
        self.assertIn("another ferryd", errors)

    def test_a_folder_that_was_never_initialised_says_what_to_run(self):
        code, errors = ended([BIN / "ferryd", "serve", "--data", pathlib.Path(self.folder.name) / "empty"])
        self.assertEqual(code, 3, errors)
        self.assertIn("ferryd init", errors)

    def test_initialising_twice_changes_nothing(self):
        before = (self.server.data / "ca" / "ca.pem").read_bytes()
        code, errors = ended([BIN / "ferryd", "init", "--data", self.server.data])
        self.assertEqual(code, 5, errors)
        self.assertEqual((self.server.data / "ca" / "ca.pem").read_bytes(), before)

    def test_what_was_acknowledged_survives_a_kill(self):
        device = self.enrolled("kept")
        self.world.ferry("device", "label", device.id, "site=oslo")
        self.server.program.kill()
        self.server.start()
        known = self.server.api.get(f"/devices/{device.id}")
        self.assertEqual(known["labels"], {"site": "oslo"})
        self.assertIsNotNone(self.server.api.get("/trust"))

    def test_the_server_ends_cleanly_on_sigterm_with_a_stream_open(self):
        parts = urllib.parse.urlsplit(self.server.run["operator_url"])
        context = ssl.create_default_context(cafile=self.server.run["ca_file"])
        stream = http.client.HTTPSConnection(parts.hostname, parts.port, context=context, timeout=20)
        stream.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {self.server.token}"})
        self.assertEqual(stream.getresponse().status, 200)
        self.server.program.stop()  # checks for exit code 0
        self.assertFalse((self.server.data / "run" / "server.json").exists())
        stream.close()
        self.server.start()

    def test_the_agent_serves_its_status_while_the_server_is_away_and_ends_cleanly(self):
        device = self.enrolled("alone")
        self.server.program.stop()
        try:
            device.start()
            status = wait_until("the agent answers", device.status)
            self.assertEqual((status["device"], status["connected"]), (device.id, False))
        finally:
            self.server.start()
        wait_until("it finds the server again", lambda: (device.status() or {}).get("connected"), 60)
        os.kill(device.program.pid, signal.SIGTERM)
        self.assertEqual(device.program.process.wait(20), 0, device.program.log_tail())

    def test_two_agents_do_not_share_a_data_tree(self):
        device = self.enrolled("single")
        device.start()
        code, errors = ended([BIN / "ferry-agent", "run", "--data", device.data, "--worker", BIN / "ferry-worker",
                              "--runtime-library", self.world.runtime_library])
        self.assertEqual(code, 5, errors)
        device.kill()

    def test_an_agent_that_was_not_enrolled_says_what_to_run(self):
        code, errors = ended([BIN / "ferry-agent", "run", "--data", pathlib.Path(self.folder.name) / "nobody"])
        self.assertEqual(code, 3, errors)
        self.assertIn("enroll", errors)


if __name__ == "__main__":
    unittest.main()
