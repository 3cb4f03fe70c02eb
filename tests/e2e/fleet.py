"""The fleet's part of the story: twenty real agents, canaries and controls, a live gate, a fleet brought back.

Checked like the first part: against the server's API, the devices' own status and their files on disk.
"""
import json
import pathlib
import sys
import threading
import time

from harness.feeder import EXAMPLE, Feeder
from harness.processes import StoryError, require, run, wait_until
from harness.world import MODEL

sys.path.insert(0, str(EXAMPLE))
from field import to_dusk  # noqa: E402  (the example's own formula)

DEVICES = 20
PAIRS = 10
RATE_HZ = 20.0  # per device
BASELINE = 240  # answers of the old release before a rollout: enough for a p99 on both sides
POLICY = EXAMPLE / "fleet.toml"
SITES = ("oslo", "bergen")


class Fleet:
    """One server and its devices with their feeders; `tell` is the story that prints."""

    def __init__(self, world, tell):
        self.world, self.tell, self.feeders = world, tell, []
        self.rollouts = {}

    # -- moves --------------------------------------------------------------------------------------------------

    def release(self, version, counter, like=None):
        """Packs, gates, publishes; `like`: with the model files of that version (another release of the same network)."""
        bundle = self.world.folder / "bundles" / version
        recipe = EXAMPLE / "bundle.toml"
        if like:
            recipe = self.world.folder / f"bundle-{version}.toml"
            text = (EXAMPLE / "bundle.toml").read_text()
            recipe.write_text(text.replace('"models/{version}/', f'"{EXAMPLE}/models/{like}/'))
        self.world.ferry("bundle", "pack", "-f", recipe, "--version", version, "--counter", counter, "-d", bundle)
        self.world.ferry("gate", "run", bundle, "--policy", EXAMPLE / "gate.toml", "--key", self.world.keys / "gate.pem")
        self.world.ferry("release", "publish", bundle, "--key", self.world.keys / f"release-{MODEL}.pem")

    def roll_out(self, version, policy=POLICY):
        rollout = self.world.ferry_json("rollout", "create", f"{MODEL}@{version}", "--policy", policy)
        self.rollouts[version] = rollout["id"]
        return rollout

    def rollout(self, version):
        return self.world.server.api.get(f"/rollouts/{self.rollouts[version]}") or {}

    def wait_for_end(self, version, state, limit_s):
        def ended():
            seen = self.rollout(version)
            if seen.get("state") in ("done", "failed", "aborted"):
                if seen["state"] != state:
                    raise StoryError(f"rollout of {version} ended {seen['state']} ({seen.get('reason')}), expected {state}: "
                                     f"{json.dumps(seen.get('log', []))[:1500]}")
                return seen
            return None
        return wait_until(f"rollout of {version} is {state}", ended, limit_s)

    def record(self, version):
        return self.world.server.api.get(f"/rollouts/{self.rollouts[version]}/verdict") or {}

    def pairs(self, version):
        return [(p["canary"], p["control"]) for p in self.record(version)["pairs"]]

    def states(self, version):
        """device -> its state in the rollout."""
        items = (self.world.server.api.get(f"/rollouts/{self.rollouts[version]}/devices?limit=1000") or {})["items"]
        return {item["device"]: item for item in items}

    def running(self):
        """device id -> version, as the devices themselves say."""
        return {device.id: device.active_version() for device in self.world.devices if device.program.alive()}

    def check_all_run(self, version):
        wait_until(f"every device says that it runs {version}", lambda: set(self.running().values()) == {version}, 60)
        for device in self.world.devices:
            if not device.program.alive():
                continue
            state = device.slot_state()
            require(state["slots"][state["active"]]["version"] == version, f"{device.name} on disk: {state['slots']}")
        wait_until(f"the server's census says {version} everywhere", lambda: {
            m["active"]["version"] for d in self.world.server.api.get("/devices?limit=100")["items"]
            for m in d["models"] if m.get("active") and d["online"]} == {version}, 30)

    def condition(self, change):
        for feeder in self.feeders:
            feeder.condition = change

    def lost(self):
        return [loss for feeder in self.feeders for loss in feeder.lost]

    # -- the story ----------------------------------------------------------------------------------------------

    def gather(self):
        world = self.world
        world.server.init()
        world.ferry("key", "init", "--online", world.server.data / "online" / "public.json", "--model", MODEL,
                    "-d", world.keys)
        world.server.start(telemetry_interval_s=2)
        world.ferry("key", "publish", "--keys", world.keys)
        for site in SITES:
            token = world.ferry_json("token", "create", "--uses", str(DEVICES // len(SITES)), "--label", f"site={site}")["token"]
            for number in range(DEVICES // len(SITES)):
                device = world.device(f"{site}-{number + 1}")
                device.enrol(token)
                device.start()
        wait_until("the server lists them with their hardware", lambda: sum(
            bool(d.get("hardware_class")) for d in world.server.api.get("/devices?limit=100")["items"]) == DEVICES, 90)
        self.release("1.1.0", 1)
        self.roll_out("1.1.0", EXAMPLE / "rollout.toml")
        self.wait_for_end("1.1.0", "done", 90)
        for number, device in enumerate(world.devices):
            feeder = Feeder(device.data / "run" / "infer.sock", MODEL, rate_hz=RATE_HZ, field_share=0.0, seed=number,
                            audit_every=2)
            feeder.start()
            self.feeders.append(feeder)
        self.check_all_run("1.1.0")
        self.tell.done("8", f"{DEVICES} agents on two sites enrolled and run 1.1.0; each answers its own feeder")

    def baseline(self, version):
        wait_until(f"every device has answered {BASELINE} requests with {version}", lambda: all(
            feeder.seen(version) >= BASELINE for feeder in self.feeders if feeder.is_alive()), 90)

    def a_better_release_goes_out_in_phases(self):
        self.baseline("1.1.0")
        self.release("1.4.0", 2)
        self.roll_out("1.4.0")
        pairs = wait_until("the pairs are drawn and looked at", lambda: self.record("1.4.0") and self.pairs("1.4.0"), 30)
        require(len(pairs) == PAIRS and len({d for pair in pairs for d in pair}) == DEVICES, f"pairs: {pairs}")
        sites = {d["id"]: d["labels"]["site"] for d in self.world.server.api.get("/devices?limit=100")["items"]}
        require(all(sites[canary] == sites[control] for canary, control in pairs), "a pair crosses its stratum")
        ended = self.wait_for_end("1.4.0", "done", 120)
        judged = [e for e in ended["log"] if e["decision"] == "judge" and e["verdict"] == "pass"]
        require(judged, f"no pass of the live gate in the log: {ended['log']}")
        states = self.states("1.4.0")
        early = [c for _, c in pairs if states[c]["since_ms"] < judged[0]["at_ms"]]
        require(not early, f"controls that updated before the gate had passed: {early}")
        self.check_all_run("1.4.0")
        require(not self.lost(), f"lost requests: {self.lost()[:3]}")
        self.tell.say(judged[0]["detail"])
        self.tell.done("9", "1.4.0: ten canaries against ten controls, the live gate passed, the controls followed")

    def a_release_comes_back(self, step, version, counter, group, what):
        """The trial passes on clean images; the condition comes to all devices alike once the canaries have committed."""
        self.baseline("1.4.0")
        self.release(version, counter)
        self.roll_out(version)
        wait_until("ten canaries have committed", lambda: self.rollout(version)["devices"]["committed"] == PAIRS, 60)
        self.condition(to_dusk)
        ended = self.wait_for_end(version, "failed", 120)
        require(ended["reason"] == f"gate.{group}", f"{version} ended for {ended['reason']}")
        self.check_all_run("1.4.0")
        wait_until("every canary is counted as rolled back", lambda: self.rollout(version)["devices"]["rolled_back"] == PAIRS)
        for device in self.world.devices:
            state = device.slot_state()
            require(version not in [s["version"] for s in state["slots"].values() if s], f"{device.name} still holds {version}")
        out, _ = self.world.ferry("rollout", "explain", self.rollouts[version])
        require("recomputed: the same verdict" in out, f"explain does not confirm the record:\n{out}")
        require(not self.lost(), f"lost requests: {self.lost()[:3]}")
        self.condition(None)
        self.tell.say(next(e["detail"] for e in ended["log"] if e["decision"] == "rollback"))
        self.tell.done(step, f"{version} passed CI and trial, {what}; the live gate found it, all canaries are back on 1.4.0")

    def a_canary_goes_silent(self):
        self.baseline("1.4.0")
        self.release("1.4.1", 5, like="1.4.0")
        self.roll_out("1.4.1")
        wait_until("ten canaries have committed", lambda: self.rollout("1.4.1")["devices"]["committed"] == PAIRS, 60)
        canary, _ = self.pairs("1.4.1")[0]
        silent = next(device for device in self.world.devices if device.id == canary)
        self.feeders[self.world.devices.index(silent)].finish()
        silent.kill()
        held = wait_until("the gate counts the silent canary", lambda: (
            lambda verdict: verdict if verdict and verdict["pairs"]["silent_canaries"] == 1 else None)(
                self.record("1.4.1").get("verdict")), 60)
        require(held["decision"] == "hold", f"with a silent canary the gate said {held['decision']}")
        self.two_operators_at_once("1.4.1")
        self.wait_for_end("1.4.1", "done", 120)
        final = self.record("1.4.1")
        pair = next(p for p in final["pairs"] if p["canary"] == canary)
        require(pair["canary_silent"] and final["verdict"]["pairs"]["complete"] < PAIRS,
                "the pair of the silent canary was counted as good")
        failures = {f["reason"]: f["devices"] for f in self.rollout("1.4.1")["failures"]}
        require(failures.get("gate.silence") == [canary], f"failures by reason: {failures}")
        self.tell.done("12", "a canary went silent: its pair never counted, the gate held until the others sufficed")

    def two_operators_at_once(self, version):
        api, path = self.world.server.api, f"/api/v1/rollouts/{self.rollouts[version]}"
        revision = self.rollout(version)["revision"]
        answers, start = [], threading.Barrier(2)

        def act(who):
            start.wait()
            answers.append(api.request("POST", f"{path}:pause", {"reason": who}, {"If-Match": f'"{revision}"'}))
        people = [threading.Thread(target=act, args=(who,)) for who in ("first shift", "second shift")]
        for person in people:
            person.start()
        for person in people:
            person.join()
        statuses = sorted(status for status, _ in answers)
        require(statuses == [200, 412], f"two operators at once: {answers}")
        told = next(body for status, body in answers if status == 412)
        require(str(revision) in told["detail"] and "read it again" in told["detail"], f"the loser was told: {told}")
        require(api.request("POST", f"{path}:resume", {})[0] == 200, "the paused rollout does not resume")
        self.tell.done("12", "two operators acted at once: one won, the other was told that the rollout had changed")

    def a_dishonest_server(self):
        """Genuine online keys, device CA and one release key in wrong hands, but no gate key: devices decide alone."""
        world = self.world
        bundle = world.folder / "bundles" / "1.2.0"
        world.ferry("bundle", "pack", "-f", EXAMPLE / "bundle.toml", "--version", "1.2.0", "--counter", 6, "-d", bundle)
        world.ferry("gate", "run", bundle, "--policy", EXAMPLE / "gate.toml", "--key", world.keys / "gate.pem", expect=6)
        alive = {device.id for device in world.devices if device.program.alive()}
        before = self.running()
        for way, reason in (("missing", "trust.attestation_missing"), ("failed", "trust.attestation_failed"),
                            ("forged", "trust.attestation_invalid")):
            world.server.program.stop()
            out, _ = run([world.bin / "dishonest-server", world.server.data, bundle,
                          world.keys / f"release-{MODEL}.pem", way])
            self.rollouts["1.2.0"] = out.strip()
            world.server.start(telemetry_interval_s=2)
            refused = wait_until(f"every device refuses 1.2.0 with its attestation {way}", lambda: (
                lambda states: states if alive <= {d for d, s in states.items() if s["state"] == "refused"} else None)(
                    self.states("1.2.0")), 60)
            reasons = {refused[device]["reason"] for device in alive}
            require(reasons == {reason}, f"attestation {way}: devices refused for {reasons}, expected {reason}")
            self.tell.say(f"attestation {way}: {len(alive)} devices refused it: {reason}")
        require(self.running() == before, "a device runs something else than before the attack")
        self.tell.done("13", "a stolen server offered 1.2.0 in properly signed metadata three ways: refused on every device")

    def play(self):
        self.gather()
        self.a_better_release_goes_out_in_phases()
        self.a_release_comes_back("10", "1.5.0", 3, "latency", "was slow at dusk")
        self.a_release_comes_back("11", "1.6.0", 4, "accuracy", "was wrong at dusk")
        self.a_canary_goes_silent()
        self.a_dishonest_server()
        for feeder in self.feeders:
            feeder.ending.set()
