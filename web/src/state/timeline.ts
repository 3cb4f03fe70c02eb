// Turns a list of events into what a person would tell: one entry for each attempt to update, with its steps.
import type { TimelineItem } from "../api/types";

export interface Entry {
  head: TimelineItem; // the newest event; what it says is how the attempt stands
  steps: TimelineItem[]; // oldest first, the head last; an event that is no update stands alone
}

const ends = new Set(["committed", "rolled_back", "rejected", "failed", "refused"]);

const sameAttempt = (a: TimelineItem, b: TimelineItem) =>
  b.kind === "update" && a.device === b.device && a.model === b.model && a.version === b.version && (a.rollout ?? "") === (b.rollout ?? "");

// The events of the attempt that items[from] belongs to, as indices, newest first. Restarts in between are part of it.
function attempt(items: TimelineItem[], from: number, taken: Set<number>): number[] {
  const head = items[from]!;
  const found = [from];
  let restarts: number[] = [];
  for (let i = from + 1; i < items.length; i++) {
    const item = items[i]!;
    if (taken.has(i) || item.device !== head.device) continue;
    if (item.kind === "started") {
      restarts.push(i);
    } else if (sameAttempt(head, item)) {
      if (ends.has(item.state ?? "")) break; // an earlier attempt
      found.push(...restarts, i);
      restarts = [];
    } else if (item.kind === "update" && item.model === head.model) {
      break; // the device turned to another release
    }
  }
  return found;
}

const together_ms = 60_000;

// Somebody who edits labels makes an event for each: one entry, as long as nothing else lies between.
function edits(items: TimelineItem[], from: number, taken: Set<number>): number[] {
  const found = [from];
  for (let i = from + 1; i < items.length && !taken.has(i); i++) {
    const [newer, item] = [items[i - 1]!, items[i]!];
    if (item.kind !== "labelled" || item.device !== newer.device || newer.at_ms - item.at_ms > together_ms) break;
    found.push(i);
  }
  return found;
}

// `items` newest first, as the API lists them; so are the entries.
export function entriesOf(items: TimelineItem[]): Entry[] {
  const taken = new Set<number>();
  const entries: Entry[] = [];
  items.forEach((head, i) => {
    if (taken.has(i)) return;
    const members = head.kind === "update" ? attempt(items, i, taken) : head.kind === "labelled" ? edits(items, i, taken) : [i];
    for (const member of members) taken.add(member);
    entries.push({ head, steps: members.map((member) => items[member]!).reverse() });
  });
  return entries;
}

export interface Span {
  version: string;
  from_ms: number;
  to_ms: number;
}

// Which release of a model was committed from when to when, oldest first; the last one runs on until `now`.
export function spansOf(items: TimelineItem[], model: string, now: number): Span[] {
  const commits = items.filter((item) => item.kind === "update" && item.model === model && item.state === "committed").reverse();
  return commits.map((item, i) => ({ version: item.version ?? "", from_ms: item.at_ms, to_ms: commits[i + 1]?.at_ms ?? Math.max(now, item.at_ms) }));
}

export const setbacks = (items: TimelineItem[], model: string) =>
  items.filter((item) => item.kind === "update" && item.model === model && item.state !== "committed" && ends.has(item.state ?? "")).reverse();

const textIn = (detail: Record<string, unknown> | undefined, name: string) => (typeof detail?.[name] === "string" ? detail[name] : "");

function labelsIn(detail: Record<string, unknown> | undefined): string {
  const labels = detail?.["labels"];
  if (typeof labels !== "object" || labels === null) return "";
  return Object.entries(labels).map(([name, value]) => `${name}=${String(value)}`).join(", ") || "no labels";
}

// What an event says besides its state: the device's own words, or what a person did.
export function messageOf({ kind, detail }: TimelineItem): string {
  const message = textIn(detail, "message");
  const what = kind === "labelled" ? labelsIn(detail) : kind === "started" && textIn(detail, "agent_version") ? `agent ${textIn(detail, "agent_version")}` : "";
  const by = textIn(detail, "by");
  return [message || what, by && `by ${by}`].filter(Boolean).join(", ");
}
