// The drift heatmap's cells: which windows fall into which span of time, and what the worst of them says.
import type { DriftCohort, DriftWindow } from "../api/types";
import { clock, count, percent, plural } from "./format";

export type Level = "none" | "ok" | "notice" | "warn" | "critical";
export const levels: Level[] = ["none", "ok", "notice", "warn", "critical"];

// Seen without colour: the more, the heavier.
export const glyphs: Record<Level, string> = { none: "", ok: "·", notice: "○", warn: "▲", critical: "✕" };
export const levelWords: Record<Level, string> = {
  none: "no predictions", ok: "as in CI", notice: "no longer as in CI", warn: "far enough from CI to matter", critical: "far from CI, and another sign says harm",
};

export const levelOf = (text: string): Level => levels.find((level) => level === text) ?? "none";
const rank = (level: string) => levels.indexOf(levelOf(level));

export interface Span {
  start_ms: number;
  end_ms: number;
}

const steps_s = [150, 3_600, 21_600, 86_400];
export const spansMax = 32;

// Round spans of time that cover the last `window_s` seconds, at most spansMax.
export function spansOf(to_ms: number, window_s: number): Span[] {
  const step = (steps_s.find((s) => window_s / s < spansMax - 1) ?? Math.ceil(window_s / (spansMax - 2))) * 1_000;
  const first = Math.floor((to_ms - window_s * 1_000) / step) * step;
  return Array.from({ length: Math.ceil((to_ms - first) / step) }, (_, i) => ({ start_ms: first + i * step, end_ms: first + (i + 1) * step }));
}

export interface Cell {
  span: Span;
  level: Level;
  windows: number;
  worst: DriftWindow | undefined;
}

const worse = (a: DriftWindow, b: DriftWindow) => rank(b.level) - rank(a.level) || b.tv - a.tv;

// A window counts in every span that it touches: with little traffic one may last for hours.
export function cellsOf({ windows }: DriftCohort, spans: Span[]): Cell[] {
  return spans.map((span) => {
    const inside = windows.filter((one) => one.end_ms >= span.start_ms && one.start_ms < span.end_ms && (one.end_ms > span.start_ms || one.start_ms === one.end_ms));
    const worst = [...inside].sort(worse)[0];
    return { span, level: worst ? levelOf(worst.level) : "none", windows: inside.length, worst };
  });
}

export const cohortName = ({ version, hardware_class, rollout, arm }: DriftCohort) => (rollout ? `${version}, ${arm === "canary" ? "canaries" : arm === "control" ? "controls" : arm} of ${rollout}` : `${version} on ${hardware_class || "unknown hardware"}`);

const share = (value: number) => percent(value * 1e6);

// An e-value can be anything from nothing to more than anybody needs to read.
export const factor = (value: number) => (value >= 1e6 ? "over 1,000,000" : value >= 100 ? count(Math.round(value)) : String(Number(value.toPrecision(3))));

// A reference without measured accuracy guesses nothing.
export const guessOf = ({ estimated_accuracy: guess }: DriftWindow) => (guess && guess.reference > 0 ? guess : undefined);

// The numbers of one window, shortest first.
export function numbersOf(window: DriftWindow, alarm_at: number): string[] {
  const { samples, devices, limited, tv, sr, alarm, labels, witness } = window;
  const guess = guessOf(window);
  return [
    `${plural(samples, "prediction")} of ${plural(devices, "device")}${limited > 0 ? ` (of ${count(limited)} only a part counted)` : ""}`,
    `total variation ${tv.toFixed(2)}`,
    `evidence ${factor(sr)} of ${factor(alarm_at)} needed for an alarm${alarm ? ": alarm" : ""}`,
    ...(guess ? [`estimated accuracy ${share(guess.now)} (reference ${share(guess.reference)}, ± ${share(guess.standard_error)}; a guess without labels)`] : []),
    ...(labels.right + labels.wrong > 0 ? [`${count(labels.right)} right and ${count(labels.wrong)} wrong of audited labels`] : []),
    ...(witness.length > 0 ? [`also failing: ${witness.join(", ")}`] : []),
  ];
}

const oneDay_ms = 86_400_000;
// A time on the heatmap: with its day where the heatmap is longer than one.
export const moment = (ms: number, whole_ms: number) => (whole_ms > 1.5 * oneDay_ms ? `${clock(ms, "day")} ${clock(ms)}` : clock(ms));

export function sentenceOf(cohort: DriftCohort, cell: Cell, alarm_at: number, whole_ms: number): string {
  const when = `${moment(cell.span.start_ms, whole_ms)} to ${moment(cell.span.end_ms, whole_ms)} UTC`;
  const what = cell.worst ? `${cell.level}, ${levelWords[cell.level]}; ${plural(cell.windows, "window")}, the worst: ${numbersOf(cell.worst, alarm_at).join("; ")}` : levelWords.none;
  return `${cohortName(cohort)}, ${when}: ${what}`;
}
