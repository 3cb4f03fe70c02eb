// What a person may do to a rollout in which state, and what has changed since they looked.
import type { DeviceCounts, LogEntry, Rollout, RolloutSummary } from "../api/types";
import { wordOf } from "./words";

export type Action = "approve" | "deny" | "pause" | "resume" | "promote" | "retry" | "abort" | "rollback";

export const actionLabels: Record<Action, string> = {
  approve: "Approve", deny: "Deny", pause: "Pause", resume: "Resume", promote: "Promote", retry: "Retry failed", abort: "Abort", rollback: "Roll back",
};

const sum = (counts: DeviceCounts, states: string[]) => states.reduce((all, state) => all + (counts[state] ?? 0), 0);

export const onTheirWay = (counts: DeviceCounts) => sum(counts, ["offered", "downloading", "staged", "trial"]);
export const tookIt = (counts: DeviceCounts) => counts["committed"] ?? 0;
// Could not be reached or could not install it. A device that tried the release and rejected it never takes it again.
export const retryable = (counts: DeviceCounts) => sum(counts, ["failed", "timed_out"]);
export const settledAgainst = (counts: DeviceCounts) => sum(counts, ["rolled_back", "rejected", "refused"]);

const byState: Record<string, Action[]> = {
  awaiting_approval: ["approve", "deny"],
  scheduled: ["abort"],
  running: ["pause", "promote", "retry", "abort", "rollback"],
  paused: ["resume", "promote", "retry", "abort", "rollback"],
  failed: ["retry", "rollback"],
  done: ["rollback"],
  aborted: ["rollback"],
};

export function offeredActions({ state, reason, recalled, devices }: Pick<RolloutSummary, "state" | "reason" | "recalled" | "devices">): Action[] {
  return (byState[state] ?? []).filter((action) => {
    // A rollout that failed for its failures runs again with fewer of them; one that a gate stopped does not.
    if (action === "retry") return !recalled && retryable(devices) > 0 && (state !== "failed" || reason === "rollout.failures");
    if (action === "rollback") return !recalled;
    // A phase with too few successes pauses again unless a person takes them for enough.
    if (action === "promote") return state === "running" || reason === "rollout.success";
    return true;
  });
}

const did: Record<string, string> = {
  start: "started it", pause: "paused it", resume: "resumed it", promote: "promoted it", abort: "aborted it", rollback: "ordered everybody back", approve: "approved it", deny: "denied it",
  retry: "had it offered again to those that failed", advance: "went on to the next phase", soak: "began to soak", finish: "finished it", stop: "stopped it", judge: "judged the canaries",
};

export const told = ({ by, decision, detail }: LogEntry) => `${by || "the server"} ${did[decision] ?? `decided “${decision}”`}${detail ? ` (${detail})` : ""}`;

const keyOf = ({ at_ms, phase, decision, detail, by }: LogEntry) => JSON.stringify([at_ms, phase, decision, detail, by]);

// What happened to a rollout between two looks at it, oldest first.
export function changesBetween(before: Rollout, after: Rollout): string[] {
  const known = new Set(before.log.map(keyOf));
  const entries = after.log.filter((entry) => !known.has(keyOf(entry))).reverse().map(told);
  const state = before.state === after.state ? [] : [`it is ${wordOf(after.state)} now`];
  return [...entries, ...state];
}

// Why a rollout stands still: the newest entry of that decision.
export const lastOf = (rollout: Rollout, decision: string) => rollout.log.find((entry) => entry.decision === decision);
