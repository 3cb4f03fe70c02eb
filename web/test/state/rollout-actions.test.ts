import { describe, expect, test } from "vitest";
import { actionLabels, changesBetween, lastOf, offeredActions, onTheirWay, retryable, settledAgainst, told } from "../../src/state/rollout-actions";
import * as fixtures from "../fixtures";

const clean = fixtures.rollout.devices;
const stuck = { ...clean, timed_out: 1 };
const at = (state: string, rest: Partial<typeof fixtures.rollout> = {}) => ({ ...fixtures.rollout, devices: stuck, reason: "rollout.failures", state, ...rest });

describe("what is offered", () => {
  test.each([
    ["awaiting_approval", ["approve", "deny"]], ["scheduled", ["abort"]], ["running", ["pause", "promote", "retry", "abort", "rollback"]], ["paused", ["resume", "retry", "abort", "rollback"]],
    ["failed", ["retry", "rollback"]], ["done", ["rollback"]], ["aborted", ["rollback"]], ["denied", []], ["a state of tomorrow", []],
  ])("while a rollout is %s", (state, actions) => expect(offeredActions(at(state))).toEqual(actions));
  test("is to promote a phase that has too few successes, and no other that is paused", () => expect(offeredActions(at("paused", { reason: "rollout.success" }))).toEqual(["resume", "promote", "retry", "abort", "rollback"]));
  test("is no retry of what a gate stopped", () => expect(offeredActions(at("failed", { reason: "gate.latency" }))).toEqual(["rollback"]));
  test("is no retry when nobody can be asked again", () => expect(offeredActions(at("running", { devices: clean }))).toEqual(["pause", "promote", "abort", "rollback"]));
  test("is no retry and no second roll-back once everybody is ordered back", () => expect(offeredActions(at("failed", { recalled: true }))).toEqual([]));
  test("has a plain name each", () => expect(Object.values(actionLabels)).toEqual(["Approve", "Deny", "Pause", "Resume", "Promote", "Retry failed", "Abort", "Roll back"]));
});

test("devices on their way and devices to retry are counted by their states", () => {
  expect(onTheirWay({ offered: 1, downloading: 2, staged: 3, trial: 4, committed: 5 })).toBe(10);
  expect(retryable({ rolled_back: 1, failed: 2, timed_out: 3, refused: 4, rejected: 5 })).toBe(5);
  expect(settledAgainst({ rolled_back: 1, failed: 2, timed_out: 3, refused: 4, rejected: 5 })).toBe(10);
});

describe("what changed between two looks", () => {
  const entry = (decision: string, by: string, detail = "", at_ms = fixtures.now) => ({ at_ms, phase: 1, verdict: "hold", decision, detail, by });
  test("is told with who, what and why, oldest first", () => {
    const after = at("aborted", { log: [entry("abort", "bo", "wrong release", fixtures.now + 2), entry("pause", "ola", "", fixtures.now + 1), ...fixtures.rollout.log] });
    expect(changesBetween(fixtures.rollout, after)).toEqual(["ola paused it", "bo aborted it (wrong release)", "it is aborted now"]);
  });
  test("may be the server's own step", () => expect(changesBetween(fixtures.rollout, at("running", { log: [entry("advance", "", "20 of 20 devices committed"), ...fixtures.rollout.log] }))).toEqual(["the server went on to the next phase (20 of 20 devices committed)"]));
  test("is nothing when nothing did", () => expect(changesBetween(fixtures.rollout, fixtures.rollout)).toEqual([]));
  test("of a decision of tomorrow is still told", () => expect(told(entry("teleport", "ola"))).toBe("ola decided “teleport”"));
});

test("the newest entry of a decision is found", () => {
  expect(lastOf(fixtures.rollout, "start")?.by).toBe("ci");
  expect(lastOf(fixtures.rollout, "deny")).toBeUndefined();
});
