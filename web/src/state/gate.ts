// The live gate's numbers as people read them: evidence as a factor, differences of pairs in percent.
import type { LatencyComparison, ShareComparison, Verdict, VerdictPair, VerdictRecord } from "../api/types";
import { count, microseconds, percent } from "./format";

const million = 1e6;

// e^(micro-nats): how many times likelier the data are under harm. Beyond a million, or below a thousandth, the digits say nothing.
export function evidence(unats: number): string {
  const nats = unats / million;
  if (!(nats < Math.log(1e6))) return "over 1,000,000";
  if (nats < Math.log(0.001)) return "under 0.001";
  const value = Math.exp(nats);
  return value < 0.1 ? value.toPrecision(2) : value < 100 ? String(Number(value.toPrecision(3))) : count(Math.round(value));
}

function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? "0" : `${value > 0 ? "+" : "−"}${text}`;
}

// How much slower, from micro-octaves: 1,000,000 is +100 %.
export function slower(uoct: number): string {
  const change = 100 * (2 ** (uoct / million) - 1);
  if (change >= 1e6) return "over +1,000,000 %";
  return change >= 1_000 ? `+${count(Math.round(change))} %` : `${signed(change, Math.abs(change) < 9.95 ? 1 : 0)} %`;
}

export const percentagePoints = (ppm: number): string => `${signed(ppm / 10_000, 1)} pp`;

export interface PairPoint {
  canary: string;
  control: string;
  silent: boolean; // the canary, now
  value: number; // beyond zero: the canary did worse than its control
  before: [canary: string, control: string];
  now: [canary: string, control: string];
}

// One metric at one resolution: what the e-processes of that name look at.
export interface PairSet {
  key: string; // "latency.p50@50"
  label: string;
  unit: "uoct" | "ppm";
  margin: number;
  points: PairPoint[]; // the greatest difference first
  missing: number; // pairs that have not got there
}

const duration = (uoct: number) => microseconds(million * 2 ** (uoct / million));

const latencyPoint = (pair: VerdictPair, { canary, control }: LatencyComparison): PairPoint => ({
  canary: pair.canary, control: pair.control, silent: pair.canary_silent,
  value: canary[1] - canary[0] - (control[1] - control[0]),
  before: [duration(canary[0]), duration(control[0])], now: [duration(canary[1]), duration(control[1])],
});

// Without a baseline the difference of the two devices alone counts.
const sharePoint = (pair: VerdictPair, { canary, control }: ShareComparison): PairPoint => ({
  canary: pair.canary, control: pair.control, silent: pair.canary_silent,
  value: Math.max(-million, Math.min(million, canary[1] - control[1] - ((canary[0] ?? 0) - (control[0] ?? 0)))),
  before: [share(canary[0]), share(control[0])], now: [share(canary[1]), share(control[1])],
});
const share = (ppm: number | null) => percent(ppm ?? undefined, 2);

function setOf(record: VerdictRecord, set: Omit<PairSet, "points" | "missing">, pointOf: (pair: VerdictPair) => PairPoint | undefined): PairSet {
  const points = record.pairs.map(pointOf).filter((point) => point !== undefined);
  points.sort((a, b) => b.value - a.value);
  return { ...set, points, missing: record.pairs.length - points.length };
}

// Every metric at every resolution of the policy, in the order of the record's groups.
export function pairSets(record: VerdictRecord): PairSet[] {
  const { policy } = record;
  const latency = ([["p50", policy.p50], ["p99", policy.p99]] as const).flatMap(([name, { quantile_ppm, resolutions, margin_uoct }]) =>
    resolutions.map((resolution) => setOf(record, { key: `latency.${name}@${resolution}`, label: `Latency ${name}, first ${count(resolution)} answers`, unit: "uoct", margin: margin_uoct }, (pair) => {
      const made = pair.latency.find((one) => one.quantile_ppm === quantile_ppm && one.resolution === resolution);
      return made && latencyPoint(pair, made);
    })));
  const shares = ([["errors", "Failed answers, first", "answers"], ["accuracy", "Wrong answers, first", "with a label"]] as const).flatMap(([name, label, of]) =>
    policy[name].resolutions.map((resolution) => setOf(record, { key: `${name}@${resolution}`, label: `${label} ${count(resolution)} ${of}`, unit: "ppm", margin: policy[name].margin_ppm }, (pair) => {
      const made = pair[name].find((one) => one.resolution === resolution);
      return made && sharePoint(pair, made);
    })));
  return [...latency, ...shares];
}

// "latency.p50.sign@50" looks at the set "latency.p50@50".
export const setKeyOf = (test: string) => test.replace(/\.(sign|tail|bets)@/, "@");

// What to look at first: where the evidence of harm is strongest; as long as there is none, where most pairs have a value.
export function mostTelling(sets: PairSet[], verdict: Verdict): PairSet | undefined {
  const tests = verdict.groups.flatMap((group) => group.parts).filter((part) => part.log_e_unats > 0);
  tests.sort((a, b) => b.log_e_unats - a.log_e_unats);
  for (const test of tests) {
    const set = sets.find((one) => one.key === setKeyOf(test.name));
    if (set) return set;
  }
  return sets.reduce<PairSet | undefined>((best, set) => (best === undefined || set.points.length > best.points.length ? set : best), undefined);
}

// What a difference says in one sentence, before anybody looks at dots.
export function summaryOf({ points, margin, missing, unit }: PairSet): string {
  const text = unit === "uoct" ? slower : percentagePoints;
  const pending = missing > 0 ? ` ${count(missing)} ${missing === 1 ? "pair has" : "pairs have"} no value here yet.` : "";
  if (points.length === 0) return `No pair has a value here yet.`;
  const beyond = points.filter((point) => point.value > margin).length;
  const middle = points[Math.floor(points.length / 2)]!.value;
  return `${count(beyond)} of ${count(points.length)} pairs lie beyond the margin of ${text(margin)}; the middle one is at ${text(middle)}.${pending}`;
}

export type Arm = "canary" | "control";

export function armsOf(record: VerdictRecord | undefined): Map<string, Arm> {
  return new Map(record?.pairs.flatMap(({ canary, control }): [string, Arm][] => [[canary, "canary"], [control, "control"]]));
}

const decisions: Record<string, string> = { pass: "the release may go on to everybody", fail: "the release does harm and goes back", hold: "not decided" };
export function decisionWords({ decision, expired, finding }: Verdict): string {
  if (decision === "hold" && expired) return "the time is over: the rollout ends undecided";
  if (decision === "hold" && finding === "harm") return "harm was found, but a person decides";
  return decisions[decision] ?? "";
}
