import { describe, expect, test } from "vitest";
import type { Verdict, VerdictRecord } from "../../src/api/types";
import { armsOf, decisionWords, evidence, mostTelling, pairSets, percentagePoints, setKeyOf, slower, summaryOf } from "../../src/state/gate";
import { verdicts } from "../fixtures";

const unats = (value: number) => Math.round(Math.log(value) * 1e6);
const uoct = (times: number) => Math.round(Math.log2(times) * 1e6);
const setsOf = (name: keyof typeof verdicts) => Object.fromEntries(pairSets(verdicts[name]).map((set) => [set.key, set]));

describe("evidence", () => {
  test.each([
    [0, "1"], [2_995_732, "20"], [unats(23.64), "23.6"], [unats(0.369), "0.369"], [unats(0.0931), "0.093"], [unats(152.3), "152"], [unats(12_345), "12,345"], [unats(0.001) + 1, "0.0010"],
    [unats(1e6) + 1, "over 1,000,000"], [1e15, "over 1,000,000"], [unats(0.0009), "under 0.001"], [-1e15, "under 0.001"], [Number.NaN, "over 1,000,000"],
  ])("of %d micro-nats is told as %s", (value, words) => expect(evidence(value)).toBe(words));
});

describe("differences", () => {
  test.each([
    [1_000_000, "+100 %"], [-1_000_000, "−50 %"], [62_500, "+4.4 %"], [0, "0 %"], [100, "0 %"], [-100, "0 %"], [uoct(1.0996), "+10 %"], [uoct(0.9), "−10 %"], [uoct(25), "+2,400 %"], [64_000_000, "over +1,000,000 %"], [-64_000_000, "−100 %"],
  ])("of %d micro-octaves are a slow-down of %s", (value, words) => expect(slower(value)).toBe(words));
  test.each([[20_000, "+2.0 pp"], [-500_000, "−50.0 pp"], [0, "0 pp"], [-400, "0 pp"], [1_000_000, "+100.0 pp"]])("of %d ppm are %s", (value, words) => expect(percentagePoints(value)).toBe(words));
});

describe("the sets of pairs of a record", () => {
  test("are every metric at every resolution of the policy, and lack the pairs that have not got there", () => {
    expect(pairSets(verdicts.fail).map((set) => [set.key, set.points.length, set.missing])).toEqual([
      ["latency.p50@50", 8, 2], ["latency.p50@100", 0, 10], ["latency.p50@200", 0, 10], ["latency.p99@200", 0, 10], ["errors@40", 10, 0], ["errors@80", 7, 3], ["accuracy@20", 10, 0], ["accuracy@40", 8, 2],
    ]);
    expect(pairSets(verdicts.early).map((set) => set.points.length)).toEqual(Array(8).fill(0));
  });
  test.each(["early", "hold", "pass", "fail"] as const)("agree with the counts that the server's judge made of the same evidence (%s)", (name) => {
    const sets = setsOf(name);
    const tests = verdicts[name].verdict.groups.flatMap((group) => group.parts).filter((part) => part.name !== "silence");
    expect(tests.length).toBeGreaterThan(8);
    for (const { name: test, up, down } of tests) {
      const { points, margin } = sets[setKeyOf(test)]!;
      const [beyond, within] = [points.filter((p) => p.value > margin).length, points.filter((p) => p.value < margin).length];
      // Shares count every pair; a latency that is next to the margin, or not in the tail, counts for neither side.
      if (/^(errors|accuracy)/.test(test)) expect([test, beyond, within]).toEqual([test, up, down]);
      else expect([test, beyond >= up, within >= down]).toEqual([test, true, true]);
    }
  });
  test("have the greatest difference first, with what both devices had before and have now", () => {
    const { points } = setsOf("fail")["latency.p50@50"]!;
    expect(points.map((p) => p.value)).toEqual(points.map((p) => p.value).sort((a, b) => b - a));
    const pair = verdicts.fail.pairs.find((one) => one.canary === points[0]!.canary)!;
    const made = pair.latency.find((one) => one.quantile_ppm === 500_000 && one.resolution === 50)!;
    expect(points[0]!.value).toBe(made.canary[1] - made.canary[0] - (made.control[1] - made.control[0]));
    expect(points[0]!.before[0]).toBe(`${Math.round(1e6 * 2 ** (made.canary[0] / 1e6))} µs`);
  });
  test("without a baseline compare the two devices alone, and never leave ±100 percentage points", () => {
    const one = (canary: [number | null, number], control: [number | null, number]) => {
      const record: VerdictRecord = { ...verdicts.early, pairs: [{ ...verdicts.early.pairs[0]!, accuracy: [{ resolution: 20, canary, control }] }] };
      return pairSets(record).find((set) => set.key === "accuracy@20")!.points[0]!;
    };
    expect(one([null, 300_000], [null, 100_000])).toMatchObject({ value: 200_000, before: ["–", "–"], now: ["30.00 %", "10.00 %"] });
    expect(one([0, 1_000_000], [1_000_000, 0]).value).toBe(1_000_000);
    expect(one([1_000_000, 0], [0, 1_000_000]).value).toBe(-1_000_000);
  });
});

describe("what is shown first", () => {
  const chosen = (record: VerdictRecord) => mostTelling(pairSets(record), record.verdict)?.key;
  test("is where the evidence of harm is strongest", () => expect(chosen(verdicts.fail)).toBe("latency.p50@50"));
  test("without evidence of harm is where most pairs have a value", () => {
    const quiet: Verdict = { ...verdicts.hold.verdict, groups: [] };
    const sets = pairSets(verdicts.hold);
    expect(mostTelling(sets, quiet)!.points.length).toBe(Math.max(...sets.map((set) => set.points.length)));
  });
  test("silence has no difference to show, nor has a test that this page does not know", () => {
    const group = { ...verdicts.hold.verdict.groups[0]!, parts: [{ name: "silence", weight: 1, up: 3, down: 0, log_e_unats: 5e6 }, { name: "memory.sign@9", weight: 1, up: 3, down: 0, log_e_unats: 4e6 }] };
    expect(chosen({ ...verdicts.hold, verdict: { ...verdicts.hold.verdict, groups: [group] } })).toBe("latency.p50@50");
  });
  test("of a policy that compares nothing is nothing", () => expect(mostTelling([], verdicts.hold.verdict)).toBeUndefined());
});

test("a summary counts what lies beyond the margin and what has no value yet", () => {
  expect(summaryOf(setsOf("fail")["latency.p50@50"]!)).toMatch(/^8 of 8 pairs lie beyond the margin of \+4\.4 %; the middle one is at \+\d+ %\. 2 pairs have no value here yet\.$/);
  expect(summaryOf(setsOf("early")["errors@40"]!)).toBe("No pair has a value here yet.");
});

test("canaries and controls are known by their device", () => {
  const arms = armsOf(verdicts.pass);
  expect([...arms.values()].filter((arm) => arm === "canary")).toHaveLength(10);
  expect(arms.get(verdicts.pass.pairs[3]!.control)).toBe("control");
  expect(armsOf(undefined).size).toBe(0);
});

test.each([
  ["pass", false, "safe", "the release may go on to everybody"], ["fail", false, "harm", "the release does harm and goes back"], ["hold", false, "too_early", "not decided"],
  ["hold", true, "too_early", "the time is over: the rollout ends undecided"], ["hold", false, "harm", "harm was found, but a person decides"], ["odd", false, "odd", ""],
])("a %s (expired: %s, finding: %s) means: %s", (decision, expired, finding, words) => expect(decisionWords({ ...verdicts.hold.verdict, decision, expired, finding })).toBe(words));
