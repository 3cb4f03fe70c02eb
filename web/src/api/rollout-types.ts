// Rollouts: what a person asks for, what a dry run says of it, and what became of it (docs/formats/operator-api.md).

export type DeviceCounts = Record<string, number>;

// How much of the selection a phase takes in: exactly one of the three.
export interface PolicyPhase {
  percent?: number;
  devices?: number;
  selector?: string;
  soak_s: number;
}

export interface RolloutPolicy {
  phases?: PolicyPhase[];
  failures_max?: number;
  failures_percent_max?: number | null;
  executed_min?: number;
  success_percent_min?: number;
  device_timeout_s?: number;
  in_flight_max?: number;
  site_budget?: { label: string; devices_max: number } | null;
  window?: { days?: string[]; from: string; to: string } | null; // no days: every day
  penalty?: { failures: number; within_s: number } | null;
  starts_at?: string;
  approvals?: number;
  gate?: { warm_up_s?: number; strata?: string[]; judge?: Record<string, unknown> } | null;
}

// The body of POST /rollouts.
export interface RolloutPlan {
  model: string;
  version: string;
  selector: string;
  name?: string;
  lift_quarantine?: boolean;
  policy: RolloutPolicy;
}

export interface DryRunDevice {
  device: string;
  phase: number;
  arm: string;
  hardware_class: string;
  variant: string; // "" when none fits: then `reason` says why
  reason: string;
}

export interface DryRun {
  selected: number;
  phases: { devices: number }[]; // in the order of the plan, together with the phases before
  variants?: Record<string, number>; // of all that are selected; "none": no variant fits
  items: DryRunDevice[];
  truncated: boolean;
}

export interface RolloutSummary {
  id: string;
  name: string;
  model: string;
  version: string;
  from_version: string;
  selector: string;
  state: string;
  reason: string;
  revision: number;
  created_ms: number;
  created_by: string;
  ended_ms: number;
  phase: number;
  soak_until_ms: number;
  devices: DeviceCounts;
  recalled: boolean; // every device that took it is ordered back
  gate: { pairs: number; passed: boolean; reason: string } | null; // null: no live gate
  approvals?: { by: string; at_ms: number }[];
  approvals_needed?: number;
  starts_ms?: number; // 0: at once
}

export interface PhaseProgress {
  percent: number; // 0 when the phase is measured otherwise: policy.phases says how
  soak_s: number;
  state: string;
  devices: number;
  counts: DeviceCounts;
}

export interface LogEntry {
  at_ms: number;
  phase: number;
  verdict: string;
  decision: string;
  detail: string;
  by: string;
}

export interface Rollout extends RolloutSummary {
  policy: RolloutPolicy;
  phases: PhaseProgress[];
  failures: { reason: string; count: number; devices: string[] }[];
  log: LogEntry[];
}

export interface RolloutDevice {
  device: string;
  state: string;
  reason: string;
  since_ms: number;
  phase: number;
}
