// A rollout that does not simply run says why and who must act; every action says first what it will do; two people at once.
import { describe, expect, test } from "vitest";
import cli from "../../../docs/cli.md?raw";
import { RolloutScreen } from "../../src/screens/rollout";
import { session } from "../../src/state/session";
import * as fixtures from "../fixtures";
import { button, click, hrefs, inTheWorld, server, show, text, type, visit } from "../support";

inTheWorld();

const page = (id: string) => show(<RolloutScreen id={id} />);
const standing = async (id: string) => text((await page(id)).querySelector(".standing"));
const buttons = (shown: Element) => [...shown.querySelectorAll<HTMLButtonElement>(".actions > button")].map((one) => [text(one), one.disabled]);
const words = async (shown: Element, name: string) => {
  await click(button(shown, name));
  return text(shown.querySelector("dialog[open] form > div"));
};
const confirm = (shown: Element) => click(shown.querySelector<HTMLButtonElement>("dialog[open] button[type=submit]")!);

describe("a rollout that awaits approval", () => {
  test("says who has approved, who is missing, and offers to approve or deny", async () => {
    expect(await standing("ro-a001")).toBe("Waiting for approval: 1 of 2. 1 more person has to approve it, with the role operator and not ci, who made it. Until then nothing is offered. ola approved it at 2026-11-25 09:29:00 UTC.");
    expect(buttons(await page("ro-a001"))).toEqual([["Approve", false], ["Deny", false]]);
  });
  test("cannot be approved by who made it", async () => {
    session.value = { ...fixtures.session, name: "ci" };
    const shown = await page("ro-a001");
    expect(buttons(shown)).toEqual([["Approve", true], ["Deny", false]]);
    expect(button(shown, "Approve").title).toBe("You made this rollout: somebody else must approve it");
    expect(text(shown.querySelector(".standing"))).toContain("You made it, so it is not for you to approve.");
  });
  test("cannot be approved twice by one person", async () => {
    session.value = { ...fixtures.session, name: "ola" };
    expect(button(await page("ro-a001"), "Approve").title).toBe("You have approved it: one more person is needed");
  });
  test("says what the last approval does, and what one of several does", async () => {
    expect(await words(await page("ro-a001"), "Approve")).toBe("Yours is the last one needed: it starts at once and offers 1.4.0 to 40 devices, phase by phase, in place of 1.1.0. Approved so far by ola.");
    server.answers["/rollouts/ro-a001"] = { ...fixtures.waiting.awaiting, approvals: [], approvals_needed: 3 };
    expect(await words(await page("ro-a001"), "Approve")).toBe("Yours is one of 3 approvals; 2 more are needed before anything happens.");
    server.answers["/rollouts/ro-a001"] = { ...fixtures.waiting.awaiting, starts_ms: fixtures.now + 3_600_000 };
    expect(await words(await page("ro-a001"), "Approve")).toContain("Yours is the last one needed: it starts at its time");
  });
  test("is approved for the revision that was seen", async () => {
    server.on("POST /rollouts/ro-a001:approve", { body: fixtures.waiting.awaiting });
    const shown = await page("ro-a001");
    await click(button(shown, "Approve"));
    await confirm(shown);
    const call = server.asked("POST", "/rollouts/ro-a001:approve")[0]!;
    expect([call.headers["If-Match"], call.body]).toEqual(['"2"', {}]);
  });
  test("is denied with a reason", async () => {
    server.on("POST /rollouts/ro-a001:deny", { body: fixtures.waiting.denied });
    const shown = await page("ro-a001");
    expect(await words(shown, "Deny")).toBe("It ends here: no device was offered 1.4.0, and none will be. A new rollout is needed to try again. ci sees your reason.");
    await type(shown.querySelector<HTMLInputElement>("dialog[open] input")!, "not before the audit");
    await confirm(shown);
    expect(server.asked("POST", "/rollouts/ro-a001:deny")[0]!.body).toEqual({ reason: "not before the audit" });
  });
});

test("a gated rollout that has not begun is not asked for a verdict", async () => {
  server.answers["/rollouts/ro-a001"] = { ...fixtures.waiting.awaiting, gate: { pairs: 10, passed: false, reason: "" } };
  expect(text((await page("ro-a001")).querySelector(".phase p"))).toContain("10 canaries");
  expect(server.calls.some((call) => call.path.endsWith("/verdict"))).toBe(false);
});

test("a scheduled rollout says when, and that nobody has to do anything", async () => expect(await standing("ro-a002")).toBe("Scheduled: it starts 2026-11-26 01:30:00 UTC. Until then nothing is offered. Nobody has to do anything."));

test("a denied rollout says by whom and why, and offers nothing", async () => {
  expect(await standing("ro-a003")).toBe("Denied by ola. “not before the audit”. No device was offered 1.4.0. It ends here: a new rollout is needed to try again.");
  expect((await page("ro-a003")).querySelector(".actions")).toBeNull();
});

describe("a paused rollout", () => {
  test("says by whom, why, and what goes on from there", async () => {
    server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, state: "paused", log: [{ at_ms: fixtures.now, phase: 1, verdict: "hold", decision: "pause", detail: "lunch", by: "ola" }, ...fixtures.rollout.log] };
    expect(await standing("ro-7d1e")).toBe("Paused by ola. “lunch”. It goes on when somebody with the role operator resumes it; Abort leaves devices as they are, Roll back brings them back.");
  });
  test("because too few devices took it says so", async () => {
    server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, state: "paused", reason: "rollout.success", log: [{ at_ms: fixtures.now, phase: 1, verdict: "hold", decision: "pause", detail: "13 of the phase's 20 devices run the release, 80 % are needed", by: "" }] };
    expect(await standing("ro-7d1e")).toContain("Paused: too few devices of this phase run the release. 13 of the phase's 20 devices run the release, 80 % are needed. Promote takes that for enough and goes on; Retry failed, then Resume,");
    expect(await words(await page("ro-7d1e"), "Promote")).toContain("A person who promotes now takes them for enough.");
  });
  test("because the world changed says what that means and where to look", async () => {
    const shown = await page("ro-a004");
    const note = shown.querySelector(".standing")!;
    expect(text(note)).toContain("Paused: the world changed. The inputs moved on canaries and controls alike, so this says nothing against 1.4.0, and nothing for it");
    expect(text(shown.querySelector(".title"))).toContain("drift.world_changed");
    expect(hrefs(note)).toEqual(["/telemetry?model=fashion-mnist#drift"]);
    expect(buttons(shown).map(([name]) => name)).toEqual(["Resume", "Abort", "Roll back"]);
  });
});

describe("what an action will do is said before, in numbers", () => {
  test("going on to the next phase", async () => {
    expect(await words(await page("ro-7d1e"), "Promote")).toBe("The rest of phase 2 is skipped, its soak too: 20 devices of phase 3 are offered 1.4.0 now. Failures already counted stay counted.");
    expect(await words(await page("ro-9a01"), "Promote")).toContain("The live gate has not passed. A person who promotes now takes its place.");
  });
  test("rolling back", async () => {
    const devices = { ...fixtures.rollout.devices, committed: 12, waiting: 8, downloading: 0, staged: 0, trial: 0 };
    server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, version: "1.5.0", from_version: "1.4.0", devices };
    const told = await words(await page("ro-7d1e"), "Roll back");
    expect(told).toContain("12 devices that took 1.5.0 go back to 1.4.0");
    expect(told).toContain("8 waiting keep 1.4.0");
  });
  test("retrying", async () => {
    server.answers["/rollouts/ro-51aa"] = { ...fixtures.stoppedRollout, devices: { ...fixtures.stoppedRollout.devices, timed_out: 2, refused: 1 } };
    const told = await words(await page("ro-51aa"), "Retry failed");
    expect(told).toContain("2 devices that did not answer or could not install it: offered 1.3.0 once more, in their phase");
    expect(told).toContain("2 that tried or judged it and decided against it: not asked again");
    expect(told).toContain("The rollout runs again, as long as no more failures remain than are allowed, and goes on with 3 waiting devices");
    expect(told).toContain("What has failed so far: trial.memory. Has the cause gone?");
  });
});

describe("two people at once", () => {
  const taken = { status: 412, body: { title: "Precondition Failed", code: "precondition_failed", detail: "the rollout is at revision 6" } };
  const paused = { ...fixtures.rollout, state: "paused", revision: 6, log: [{ at_ms: fixtures.now, phase: 1, verdict: "hold", decision: "pause", detail: "customers complain", by: "bo" }, ...fixtures.rollout.log] };
  test("the second is told who did what, sees what is there now, and can still go on", async () => {
    server.on("POST /rollouts/ro-7d1e:abort", taken);
    const shown = await page("ro-7d1e");
    await click(button(shown, "Abort"));
    server.answers["/rollouts/ro-7d1e"] = paused;
    await confirm(shown);
    expect(text(shown.querySelector("dialog[open] [role=alert]"))).toContain("Someone else changed it. Since you looked: bo paused it (customers complain); it is paused now. Nothing was done.");
    expect(text(shown.querySelector(".title"))).toContain("paused");
    server.on("POST /rollouts/ro-7d1e:abort", { body: paused });
    await confirm(shown);
    expect(server.asked("POST", "/rollouts/ro-7d1e:abort").map((call) => call.headers["If-Match"])).toEqual(['"5"', '"6"']);
  });
  test("an action that is no longer possible is gone, and the page says why", async () => {
    server.on("POST /rollouts/ro-7d1e:pause", taken);
    const shown = await page("ro-7d1e");
    await click(button(shown, "Pause"));
    server.answers["/rollouts/ro-7d1e"] = paused;
    await confirm(shown);
    expect(() => button(shown, "Pause")).toThrow();
    const note = shown.querySelector(".note-warn[role=alert]")!;
    expect(text(note)).toBe("Someone else changed it: bo paused it (customers complain); it is paused now. “Pause” was not done.Close");
    await click(note.querySelector("button")!);
    expect(shown.querySelector(".note-warn[role=alert]")).toBeNull();
  });
  test("when it cannot be read again, the server's own words stand", async () => {
    server.on("POST /rollouts/ro-7d1e:pause", taken);
    const shown = await page("ro-7d1e");
    await click(button(shown, "Pause"));
    server.on("GET /rollouts/ro-7d1e", { status: 503, body: { title: "Unavailable", detail: "busy" } });
    await confirm(shown);
    expect(text(shown.querySelector("dialog[open] [role=alert]"))).toContain("the rollout is at revision 6");
  });
});

test("a rollout says the limits that it was given, and only those", async () => {
  const facts = (shown: Element) => Object.fromEntries([...shown.querySelectorAll(".facts div")].map((one) => [text(one.querySelector("dt")), text(one.querySelector("dd"))]));
  const policy = { failures_max: 2, failures_percent_max: 20, executed_min: 5, success_percent_min: 80, device_timeout_s: 900, in_flight_max: 50, site_budget: { label: "site", devices_max: 1 }, window: { days: ["mon", "sun"], from: "22:00", to: "05:00" }, approvals: 2, penalty: { failures: 3, within_s: 604_800 } };
  server.answers["/rollouts/ro-a001"] = { ...fixtures.waiting.awaiting, policy };
  expect(facts(await page("ro-a001"))).toMatchObject({
    "Failures allowed": "2", "Failures allowed, in percent": "20 % of at least 5", "Success needed": "80 % of a phase's devices", "On their way at once": "at most 50", "Of one site at once": "at most 1 with the same site",
    "Maintenance window": "22:00 to 05:00, mon, sun, device time", "Left out after": "3 failures within 168 h", Approvals: "1 of 2: ola",
  });
  expect(Object.keys(facts(await page("ro-7d1e")))).toEqual(["Release", "Replaces", "Selector", "Failures allowed", "Time per device", "Id"]);
});

test("phases are called as they are measured", async () => {
  server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, policy: { phases: [{ devices: 5, soak_s: 60 }, { selector: "label.ring=early", soak_s: 600 }, { percent: 100, soak_s: 0 }] }, phases: fixtures.rollout.phases.map((phase, i) => ({ ...phase, percent: i === 2 ? 100 : 0 })) };
  const shown = await page("ro-7d1e");
  expect([...shown.querySelectorAll(".phase strong:first-child")].map(text).filter((one) => one.startsWith("Phase"))).toEqual(["Phase 1: first 5 devices", "Phase 2: label.ring=early", "Phase 3: 100 %"]);
});

test("what is counted leads to the devices that it counts, from their first page", async () => {
  visit("/rollouts/ro-7d1e?device_cursor=100&device_before=50");
  const bar = (await page("ro-7d1e")).querySelector(".stacked")!;
  expect(hrefs(bar).slice(0, 2)).toEqual(["/rollouts/ro-7d1e?state=committed#devices", "/rollouts/ro-7d1e?state=trial#devices"]);
});

test("every action says how to do the same from a terminal, with a command that docs/cli.md has", async () => {
  for (const [id, names] of [["ro-a001", ["Approve", "Deny"]], ["ro-7d1e", ["Pause", "Promote", "Abort", "Roll back"]], ["ro-a004", ["Resume"]]] as const) {
    const shown = await page(id);
    for (const name of names) {
      await click(button(shown, name));
      const verb = /^ferry rollout ([a-z]+) ro-/.exec([...shown.querySelectorAll("dialog[open] code")].map(text).at(-1)!)![1]!;
      expect(cli).toMatch(new RegExp(`ferry rollout [a-z|\\\\]*\\b${verb}\\b`));
      await click(button(shown.querySelector("dialog[open]")!, "Cancel"));
    }
  }
});
