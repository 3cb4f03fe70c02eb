import { describe, expect, test } from "vitest";
import type { RolloutPlan } from "../../src/api/types";
import { phaseSize, phaseSizes } from "../../src/state/phases";
import { planWords, unfit } from "../../src/state/plan-words";
import * as fixtures from "../fixtures";

const plan = (policy: RolloutPlan["policy"], rest: Partial<RolloutPlan> = {}): RolloutPlan => ({
  model: "fashion-mnist", version: "1.4.0", selector: "*", policy: { phases: [{ percent: 10, soak_s: 600 }, { percent: 50, soak_s: 0 }, { percent: 100, soak_s: 0 }], ...policy }, ...rest,
});
const words = (policy: RolloutPlan["policy"], rest: Partial<RolloutPlan> = {}, dryRun = fixtures.dryRun) => planWords(plan(policy, rest), dryRun, fixtures.now);

describe("what creating a rollout will do", () => {
  test("begins with who takes what, phase by phase", () =>
    expect(words({})[0]).toBe("4 devices matching * are to take fashion-mnist 1.4.0: first 1 device (10 %), watched for 10 min; then 1 device (50 %); then everybody else, 2 devices. Devices that match later get it too."));
  test("does not say a number twice", () => expect(words({ phases: [{ devices: 1, soak_s: 0 }, { selector: "label.ring=early", soak_s: 0 }, { percent: 100, soak_s: 0 }] })[0]).toContain("first 1 device; then 1 device (label.ring=early); then"));
  test("says who cannot take it", () => expect(words({}).at(-1)).toBe("1 device cannot run it (variant.none) and keeps what it has."));
  test("does not claim what it does not know", () => {
    const unknown = { ...fixtures.dryRun, items: [{ ...fixtures.dryRun.items[3]!, reason: "the device has not told its hardware profile" }] };
    expect(words({}, {}, unknown).at(-1)).toBe("1 device may not be able to run it (the device has not told its hardware profile) and then keeps what it has.");
  });
  test("says what stops it", () => {
    expect(words({}).join(" ")).toContain("When one device fails, nobody else is offered it; a device that failed goes on with what it had. Without a live gate nothing else stops it.");
    expect(words({ failures_max: 2, failures_percent_max: 20, executed_min: 5 }).join(" ")).toContain("When more than 2 devices failed or more than 20 % of at least 5 devices with an outcome failed, nobody else");
    expect(words({ failures_percent_max: 20, executed_min: 5 }).join(" ")).toContain("When more than 20 % of at least 5 devices with an outcome failed, nobody else");
  });
  test("says what the gate does, and when there are too few pairs for it", () =>
    expect(words({ gate: {} }).join(" ")).toContain("1 canary is compared with a control that keeps the old release: the second phase waits until the live gate passes; if it finds harm, every device that took the release goes back. 1 pair can prove nothing (5 are needed): a person will have to decide."));
  test("does not doubt enough pairs", () => {
    const many = { ...fixtures.dryRun, items: Array.from({ length: 10 }, (_, i) => ({ ...fixtures.dryRun.items[0]!, device: `dev-${i}` })) };
    const told = words({ gate: {} }, {}, many).join(" ");
    expect(told).toContain("10 canaries are each compared");
    expect(told).not.toContain("can prove nothing");
  });
  test("says what it waits for", () => {
    expect(words({ approvals: 2, starts_at: "2026-11-26T02:00:00Z" })[1]).toBe("Nothing is offered before 2 people other than you have approved it and before 2026-11-26 02:00 UTC.");
    expect(words({ starts_at: "2026-11-24T02:00:00Z" }).join()).not.toContain("Nothing is offered");
  });
  test("says the limits", () =>
    expect(words({ in_flight_max: 5, site_budget: { label: "site", devices_max: 1 }, window: { days: ["mon", "tue"], from: "01:00", to: "05:00" } }).join(" ")).toContain("Devices take it at most 5 devices at once, at most 1 at once with the same site, only between 01:00 and 05:00 of each device's own time on mon, tue."));
  test("says that a quarantine is lifted", () => expect(words({}, { lift_quarantine: true }).at(-1)).toBe("1.4.0 failed in an earlier rollout; its quarantine is lifted."));
  test("of a truncated list counts by phases", () =>
    expect(words({}, {}, { ...fixtures.dryRun, selected: 4_000, phases: [{ devices: 400 }, { devices: 2_000 }, { devices: 4_000 }], truncated: true })[0]).toContain("first 400 devices (10 %), watched for 10 min; then 1,600 devices (50 %); then everybody else, 2,000 devices."));
});

test("devices that a release does not fit are counted by the reason", () => expect([...unfit(fixtures.dryRun)]).toEqual([["variant.none", 1]]));

test.each([[{ percent: 10, soak_s: 0 }, "10 %"], [{ devices: 1, soak_s: 0 }, "first 1 device"], [{ devices: 5, soak_s: 0 }, "first 5 devices"], [{ selector: "label.ring=early", soak_s: 0 }, "label.ring=early"]])("a phase %o is called %s", (phase, name) => expect(phaseSize(phase)).toBe(name));

test("phases are called as their plan measures them, or by their percentage", () => {
  expect(phaseSizes({ ...fixtures.rollout, policy: { phases: [{ devices: 5, soak_s: 0 }, { selector: "label.ring=early", soak_s: 0 }, { percent: 100, soak_s: 0 }] } })).toEqual(["first 5 devices", "label.ring=early", "100 %"]);
  expect(phaseSizes({ ...fixtures.rollout, policy: {} })).toEqual(["10 %", "50 %", "100 %"]);
});
