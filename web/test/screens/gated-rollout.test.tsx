// Canaries, controls and what is ordered back: on the rollout's page and on the device's.
import { beforeEach, describe, expect, test } from "vitest";
import { DeviceScreen } from "../../src/screens/device";
import { RolloutScreen } from "../../src/screens/rollout";
import { session } from "../../src/state/session";
import * as fixtures from "../fixtures";
import { button, click, column, hrefs, inTheWorld, server, show, text, type } from "../support";

inTheWorld({ timers: true });
beforeEach(() => void (session.value = fixtures.session));

describe("a gated rollout", () => {
  test("says in its phases where canaries and controls are", async () => {
    const page = await show(<RolloutScreen id="ro-9a01" />);
    expect([...page.querySelectorAll(".phase")].map((phase) => text(phase.querySelector("p")))).toEqual(["Phase 1: 50 % running 10 devices, 10 canaries", "Phase 2: 100 % waiting 20 devices, with the 10 controls"]);
  });
  test("of three phases keeps the controls out of the middle one", async () => {
    const [first, last] = fixtures.gatedRollout.phases;
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, gate: { pairs: 1, passed: false, reason: "" }, phases: [{ ...first!, percent: 5 }, { ...first!, state: "waiting" }, last!] };
    const page = await show(<RolloutScreen id="ro-9a01" />);
    expect([...page.querySelectorAll(".phase .dim")].map(text)).toEqual(["10 devices, 1 canary", "10 devices, the controls keep 1.4.0", "20 devices, with the 1 control"]);
  });
  test("says of each device which arm it is in", async () => {
    const page = await show(<RolloutScreen id="ro-9a01" />);
    expect(column(page, "Devices of this rollout", "Arm")).toEqual(Array(10).fill(["canary", "control"]).flat());
    expect(column(await show(<RolloutScreen id="ro-7d1e" />), "Devices of this rollout", "Arm")).toEqual([]);
  });
  test("has the gate's decisions in its log, with code, words and numbers", async () => {
    const page = await show(<RolloutScreen id="ro-9b02" />);
    expect(column(page, "Verdict log", "Decision")).toEqual(["rollback", "judge"]);
    expect(column(page, "Verdict log", "Why")).toEqual([
      "gate.latency slower than the control group in the field: evidence of harm 23.6 of 20 needed; 0 of 10 pairs complete",
      "gate.few_pairs not enough complete pairs yet: evidence of harm 1 of 20 needed; 0 of 10 pairs complete",
    ]);
  });
  test("that was recalled says plainly how many are back, and why", async () => {
    const page = await show(<RolloutScreen id="ro-9b02" />);
    expect(text(page.querySelector("[role=status].note"))).toBe("Ordered back: 7 of 10 devices are back. 1.5.0 is quarantined. gate.latency slower than the control group in the field");
    expect(page.querySelector(".note-warn[role=status]")).not.toBeNull();
    server.answers["/rollouts/ro-9b02"] = { ...fixtures.recalledRollout, devices: { committed: 0, rolled_back: 1 } };
    const done = await show(<RolloutScreen id="ro-9b02" />);
    expect(text(done.querySelector("[role=status].note"))).toContain("Ordered back: 1 of 1 device is back.");
    expect(done.querySelector(".note-warn[role=status]")).toBeNull();
  });
});

describe("rolling back", () => {
  const buttons = (page: Element) => [...page.querySelectorAll(".actions > button")].map(text);
  test.each([["running", ["Pause", "Promote", "Abort", "Roll back"]], ["paused", ["Resume", "Abort", "Roll back"]], ["done", ["Roll back"]], ["failed", ["Roll back"]], ["aborted", ["Roll back"]]])("is offered while a rollout is %s", async (state, expected) => {
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, state };
    expect(buttons(await show(<RolloutScreen id="ro-9a01" />))).toEqual(expected);
  });
  test("is not offered again once it was ordered", async () => expect((await show(<RolloutScreen id="ro-9b02" />)).querySelector(".actions")).toBeNull());
  test("says first who goes back, to what, and what becomes of the release", async () => {
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, state: "done", devices: { ...fixtures.gatedRollout.devices, committed: 18, waiting: 1, trial: 1 } };
    const page = await show(<RolloutScreen id="ro-9a01" />);
    await click(button(page, "Roll back"));
    const dialog = page.querySelector("dialog[open]")!;
    expect(text(dialog.querySelector("h2"))).toBe("Roll 1.4.1 back?");
    expect([...dialog.querySelectorAll("li")].map(text)).toEqual([
      "18 devices that took 1.4.1 go back to 1.4.0, at once and without a download where the other slot still holds it", "1 on its way is ordered back too, as soon as it asks",
      "1 waiting keeps 1.4.0, and late joiners do not get it either", "1.4.1 is quarantined: it is offered to nobody until a new rollout names it",
    ]);
    expect(text(dialog)).toContain("This cannot be undone.");
    expect(text(dialog)).toContain("The same from a terminal: ferry rollout rollback ro-9a01");
  });
  test("of a first release does not name what it goes back to", async () => {
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, from_version: "" };
    const page = await show(<RolloutScreen id="ro-9a01" />);
    await click(button(page, "Roll back"));
    expect(text(page.querySelector("dialog[open] li"))).toContain("10 devices that took 1.4.1 go back to what they ran before, at once");
  });
  test("is ordered for the revision that was seen, with the reason", async () => {
    server.on("POST /rollouts/ro-9a01:rollback", { body: { ...fixtures.gatedRollout, state: "aborted", recalled: true } });
    const page = await show(<RolloutScreen id="ro-9a01" />);
    await click(button(page, "Roll back"));
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, state: "aborted", reason: "operator.rollback", recalled: true };
    const dialog = page.querySelector("dialog[open]")!;
    await type(dialog.querySelector("input")!, "customers complain");
    await click(dialog.querySelector<HTMLButtonElement>("button[type=submit]")!);
    const call = server.asked("POST", "/rollouts/ro-9a01:rollback")[0]!;
    expect([call.headers["If-Match"], call.body]).toEqual(['"5"', { reason: "customers complain" }]);
    expect(text(page)).toContain("Ordered back: 0 of 10 devices are back.");
    expect(page.querySelector(".actions")).toBeNull();
  });
  test("is an operator's, and a publisher is told so", async () => {
    session.value = { ...fixtures.session, role: "publisher" };
    const page = await show(<RolloutScreen id="ro-9a01" />);
    expect([button(page, "Roll back").disabled, button(page, "Roll back").title]).toEqual([true, "This needs the role operator"]);
  });
});

describe("a device", () => {
  const fact = (page: Element, name: string) => [...page.querySelectorAll(".facts div")].filter((one) => text(one.querySelector("dt")) === name).map((one) => text(one.querySelector("dd")));
  test("that is a canary or a control says of what; one that is neither says nothing", async () => {
    expect(fact(await show(<DeviceScreen id={fixtures.candidateDevice.id} />), "Arm")).toEqual(["canary of ro-7d1e"]);
    const control = { ...fixtures.device, models: [{ ...fixtures.device.models[0]!, assigned: { version: "1.1.0", rollout: "", arm: "control" } }] };
    server.answers[`/devices/${fixtures.deviceId}`] = control;
    expect(fact(await show(<DeviceScreen id={fixtures.deviceId} />), "Arm")).toEqual(["control of a rollout"]);
    server.answers[`/devices/${fixtures.deviceId}`] = fixtures.device;
    expect(fact(await show(<DeviceScreen id={fixtures.deviceId} />), "Arm")).toEqual([]);
  });
  test("says of a slot whether it was taken as a canary", async () => {
    const slots = { ...fixtures.device.models[0]!.slots, a: { ...fixtures.device.models[0]!.slots.a!, arm: "canary" } };
    server.answers[`/devices/${fixtures.deviceId}`] = { ...fixtures.device, models: [{ ...fixtures.device.models[0]!, slots }] };
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    expect([...page.querySelectorAll(".slot")].map((slot) => text(slot).includes("taken as canary of ro-7d1e"))).toEqual([true, false]);
  });
  const ordered = (...rollouts: NonNullable<typeof fixtures.device.rollouts>) => (server.answers[`/devices/${fixtures.deviceId}`] = { ...fixtures.device, rollouts });
  const back = { id: "ro-9b02", model: "fashion-mnist", version: "1.5.0", state: "rolled_back", reason: "gate.latency" };
  test("whose last release was ordered back says which, why and by which rollout", async () => {
    ordered({ ...back, id: "ro-next", version: "1.6.0", state: "waiting", reason: "" }, back);
    const note = (await show(<DeviceScreen id={fixtures.deviceId} />)).querySelector(".note-warn")!;
    expect(text(note)).toBe("1.5.0 was ordered back by rollout ro-9b02: gate.latency slower than the control group in the field");
    expect(hrefs(note)).toEqual(["/rollouts/ro-9b02"]);
    ordered({ ...back, reason: "operator.rollback" });
    expect(text((await show(<DeviceScreen id={fixtures.deviceId} />)).querySelector(".note-warn"))).toContain("operator.rollback taken back by a person");
  });
  test.each([["has since taken another", [{ ...back, id: "ro-new", version: "1.6.0", state: "committed", reason: "" }, back]], ["rolled back by itself", [{ ...back, reason: "trial.memory" }]], ["has another model's release ordered back", [{ ...back, model: "another" }]]])(
    "that %s has no such note", async (_, rollouts) => {
      ordered(...rollouts);
      expect((await show(<DeviceScreen id={fixtures.deviceId} />)).querySelector(".note-warn")).toBeNull();
    });
  test("lists the rollouts that it took part in", async () => {
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    expect(column(page, "Rollouts of this device", "Rollout")).toEqual(["ro-7d1e", "ro-51aa"]);
    expect(column(page, "Rollouts of this device", "State here")).toEqual(["committed", "rolled back"]);
    expect(column(page, "Rollouts of this device", "Reason")).toEqual(["–", "trial.memory more memory than its budget"]);
  });
});
