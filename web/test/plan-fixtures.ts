// A dry run of four devices, and rollouts that wait for somebody.
import type { DryRun, Rollout } from "../src/api/types";

export const dryRunOf = (hardwareClass: string): DryRun => ({
  selected: 4, phases: [{ devices: 1 }, { devices: 2 }, { devices: 4 }], truncated: false,
  items: [
    { device: "dev-3f9c2a71b05e", phase: 0, arm: "canary", hardware_class: hardwareClass, variant: "int8", reason: "" },
    { device: "dev-91d0e4f2a7c3", phase: 1, arm: "none", hardware_class: "aarch64-dotprod-4c-4g-cpu", variant: "fp32", reason: "" },
    { device: "dev-a7c04b1d99e0", phase: 2, arm: "control", hardware_class: hardwareClass, variant: "int8", reason: "" },
    { device: "dev-0000000000ab", phase: 2, arm: "none", hardware_class: "armv7-neon-1c-1g-cpu", variant: "", reason: "variant.none" },
  ],
});

// A rollout of `base` before its first device was offered anything.
const untouched = (base: Rollout): Rollout => ({
  ...base, phase: 0, failures: [], devices: { ...base.devices, selected: 40, waiting: 40, downloading: 0, staged: 0, trial: 0, committed: 0, rolled_back: 0 },
  phases: base.phases.map((phase) => ({ ...phase, state: "waiting", counts: { waiting: phase.devices } })),
});

export const waitingRollouts = (base: Rollout, now: number) => ({
  awaiting: { ...untouched(base), id: "ro-a001", state: "awaiting_approval", revision: 2, approvals_needed: 2, approvals: [{ by: "ola", at_ms: now - 60_000 }], starts_ms: 0,
    log: [{ at_ms: now - 60_000, phase: 0, verdict: "hold", decision: "approve", detail: "1 of 2", by: "ola" }] } satisfies Rollout,
  scheduled: { ...untouched(base), id: "ro-a002", state: "scheduled", starts_ms: now + 16 * 3_600_000, approvals: [], approvals_needed: 0, log: [] } satisfies Rollout,
  denied: { ...untouched(base), id: "ro-a003", state: "denied", ended_ms: now - 60_000, approvals: [], approvals_needed: 1,
    log: [{ at_ms: now - 60_000, phase: 0, verdict: "fail", decision: "deny", detail: "not before the audit", by: "ola" }] } satisfies Rollout,
  changed: { ...base, id: "ro-a004", state: "paused", reason: "drift.world_changed", log: [{ at_ms: now - 60_000, phase: 1, verdict: "hold", decision: "pause", detail: "drift.world_changed: canary and control drift alike", by: "" }, ...base.log] } satisfies Rollout,
});
