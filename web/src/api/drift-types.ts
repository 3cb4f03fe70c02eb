// GET /drift: how the field's predictions stand beside the release's reference profile.

export interface DriftEffect {
  psi: number;
  js: number;
  tv: number;
}

export interface DriftFeature {
  use: string; // "tested", or why not
  n: number;
  n_ref: number;
  bins?: number;
  chi_square?: number;
  p?: number;
  e?: number;
  effect?: DriftEffect;
}

export interface DriftWindow {
  start_ms: number;
  end_ms: number;
  samples: number;
  devices: number;
  limited: number;
  level: string;
  reason: string;
  alarm: boolean;
  e: number;
  sr: number;
  features: Record<string, DriftFeature>;
  shift: Record<string, DriftEffect>;
  tv: number;
  estimated_accuracy?: { reference: number; now: number; standard_error: number } | null;
  median_extreme: boolean;
  relevant: boolean;
  labels: { right: number; wrong: number; sr: number };
  witness: string[];
}

export interface DriftCohort {
  id: string;
  version: string;
  manifest_sha256: string;
  hardware_class: string; // "" for an arm of a rollout
  rollout: string;
  arm: string;
  level: string;
  reason: string;
  since_ms: number;
  windows_total: number;
  alarms: number;
  last_alarm_ms: number;
  sr: number;
  devices: number;
  reference_samples: number;
  open?: { start_ms: number; samples: number; devices: number } | null;
  windows: DriftWindow[]; // oldest first
}

export interface DriftCause {
  rollout: string;
  version: string;
  from_version: string;
  cause: string; // none | model | world | not_enough
  reason: string;
  at_ms: number;
  text: string;
  canary: string;
  control: string;
}

export interface Drift {
  model: string;
  from_ms: number;
  to_ms: number;
  policy: { window_samples: number; alarm_at: number; tv_relevant: number };
  cohorts: DriftCohort[];
  rollouts: DriftCause[];
}
