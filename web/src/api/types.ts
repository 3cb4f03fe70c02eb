// The operator API's answers as docs/formats/operator-api.md writes them.
import type { RolloutSummary } from "./rollout-types";

export type * from "./drift-types";
export type * from "./rollout-types";
export type * from "./verdict-types";

export interface List<T> {
  items: T[];
  next_cursor: string;
}

export interface Problem {
  status: number;
  code: string;
  title: string;
  detail: string;
  reason?: string;
}

export interface Session {
  name: string;
  role: string;
  expires_ms: number;
}

export interface SlotEntry {
  version: string;
  counter: number;
  manifest_sha256: string;
  variant: string;
  variant_reason?: string;
  rollout?: string;
  arm?: string;
}

export interface ActiveRelease extends SlotEntry {
  slot: string;
  state: string;
}

export interface Rejection {
  manifest_sha256: string;
  version: string;
  reason: string;
  at_ms: number;
}

export interface DeviceModel {
  model: string;
  active?: ActiveRelease;
  slots: { a: SlotEntry | null; b: SlotEntry | null };
  update: { state: string; stage?: string; slot?: string; release?: { version: string } };
  rejected: Rejection[];
  last_reason: string;
  floor: number;
  assigned: { version: string; rollout: string; arm: string } | null;
}

export interface DeviceTelemetry {
  model: string;
  version: string;
  count: number;
  errors: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  labelled: number;
  right: number;
  accuracy_ppm?: number;
  last_window_ms: number;
}

export interface HardwareProfile {
  architecture?: string;
  isa?: string;
  cores?: number;
  memory_bytes?: number;
  cpu_model?: string;
  os?: string;
  kernel?: string;
  runtime?: { name: string; version: string };
}

export interface Device {
  id: string;
  state: string;
  enrolled_ms: number;
  last_seen_ms: number;
  online: boolean;
  labels: Record<string, string>;
  hardware_class: string;
  agent_version: string;
  models: DeviceModel[];
  profile?: HardwareProfile;
  certificate?: { fingerprint: string; not_after_ms: number };
  rollouts?: { id: string; model: string; version: string; state: string; reason: string }[];
  telemetry?: DeviceTelemetry[];
}

export interface TimelineItem {
  id: number;
  at_ms: number;
  kind: string;
  device?: string;
  model?: string;
  version?: string;
  rollout?: string;
  state?: string;
  reason?: string;
  variant?: string;
  slot?: string;
  detail?: Record<string, unknown>;
}

export interface Measured {
  hardware_class: string;
  latency_p50_us?: number;
  latency_p99_us?: number;
  memory_peak_bytes?: number;
  accuracy_ppm?: number;
  samples?: number;
}

export interface Variant {
  name: string;
  precision: string;
  opset: number;
  file_sha256: string;
  file_length: number;
  devices: number;
  measured: Measured[];
}

export interface GateMeasurement {
  id: string;
  unit: string;
  value: number;
  low?: number;
  high?: number;
  threshold: number;
  op: string;
  n: number;
  verdict: string;
  detail: string;
}

export interface GateReport {
  verdict: string;
  startedOn: string;
  finishedOn: string;
  runtime: { name: string; version: string };
  dataset: { name: string; sha256: string; samples: number };
  measurements: GateMeasurement[];
  invocation?: { commit: string; url: string };
}

export interface Gate {
  verified: boolean;
  result: string;
  keys_counted: number;
  finished_ms: number;
  error: string;
  report?: GateReport;
  attestations_sha256: string;
}

export interface ReleaseSummary {
  model: string;
  version: string;
  counter: number;
  manifest_sha256: string;
  published_ms: number;
  published_by: string;
  description: string;
  state: string;
  devices: { running: number; total: number };
  gate_result?: string;
  variant_names?: string[];
}

export interface Release extends ReleaseSummary {
  variants: Variant[];
  gate: Gate;
  rollouts: { id: string; state: string }[];
}

export interface Attention {
  kind: string;
  severity: string;
  subject: string;
  text: string;
  since_ms: number;
  reason: string;
}

export interface Overview {
  at_ms: number;
  devices: { total: number; online: number; updating: number; attention: number; offline: number; new: number; revoked: number };
  models: number;
  releases: number;
  telemetry: { inferences: number; errors: number; p50_us: number; p95_us: number; p99_us: number; window_s: number };
  attention: Attention[];
  rollouts: RolloutSummary[];
  distribution: { model: string; total: number; releases: { version: string; devices: number; share_ppm: number }[] }[];
  feed: TimelineItem[];
}

export interface SeriesPoint {
  at_ms: number;
  count: number;
  errors: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  labelled: number;
  right: number;
}

export interface ReleaseTelemetry {
  version: string;
  count: number;
  errors: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  labelled: number;
  right: number;
  accuracy_ppm?: number;
  classes: number[]; // how often each label was answered
  worker_memory_bytes: number;
  devices: number;
  series: SeriesPoint[];
}

export interface ClassTelemetry {
  version: string;
  hardware_class: string;
  devices: number;
  count: number;
  errors: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  labelled: number;
  accuracy_ppm?: number;
}

export interface Telemetry {
  model: string;
  from_ms: number;
  to_ms: number;
  step_s: number;
  labels: string[];
  releases: ReleaseTelemetry[];
}
