// A state as icon, word and colour: never colour alone.
import { wordOf } from "../state/words";

export type Tone = "good" | "busy" | "bad" | "warn" | "plain";

const words: Record<Exclude<Tone, "plain">, string[]> = {
  good: ["ok", "done", "committed", "current", "pass", "PASSED", "serving", "active", "verified"],
  busy: ["running", "updating", "downloading", "staged", "trial", "soaking", "rolling_out", "offered", "rolling_back", "candidate", "scheduled"],
  bad: ["failed", "fail", "FAILED", "rolled_back", "rejected", "refused", "timed_out", "quarantined", "revoked", "error", "not verified", "denied", "critical"],
  warn: ["attention", "hold", "WARNED", "paused", "offline", "aborted", "warning", "alarm", "awaiting_approval", "warn", "notice"],
};
const tones = new Map(Object.entries(words).flatMap(([tone, states]) => states.map((state): [string, Tone] => [state, tone as Tone])));

export const toneOf = (state: string): Tone => tones.get(state) ?? "plain";

const marks: Record<Tone, string> = {
  good: "M2.5 6.5 5 9l4.5-6",
  busy: "M2 6a4 4 0 0 1 7-2.6M10 1v2.6H7.4M10 6a4 4 0 0 1-7 2.6M2 11V8.4h2.6",
  bad: "M3 3l6 6M9 3l-6 6",
  warn: "M6 2v5M6 9.4v.4",
  plain: "M6 6v.01",
};

export function Mark({ tone }: { tone: Tone }) {
  return <svg class="mark" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true"><path d={marks[tone]} /></svg>;
}

export function Status({ state, word }: { state: string; word?: string }) {
  const tone = toneOf(state);
  return <span class={`status status-${tone}`}><Mark tone={tone} /> {word ?? wordOf(state)}</span>;
}
