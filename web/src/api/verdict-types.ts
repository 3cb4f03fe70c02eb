// The live gate's verdict on record, ferry.verdict/1. Evidence is in micro-nats, latency in micro-octaves, shares in ppm.
export interface LatencyComparison {
  quantile_ppm: number;
  resolution: number;
  canary: [before: number, now: number];
  control: [before: number, now: number];
}

export interface ShareComparison {
  resolution: number;
  canary: [before: number | null, now: number];
  control: [before: number | null, now: number];
}

export interface VerdictPair {
  canary: string;
  control: string;
  stratum: string;
  started: boolean;
  canary_silent: boolean;
  control_silent: boolean;
  first_silent: string;
  latency: LatencyComparison[];
  errors: ShareComparison[];
  accuracy: ShareComparison[];
  within_device?: { p50_unats: number; p99_unats: number }; // in small fleets: the canary against its own past
}

export interface EvidencePart {
  name: string;
  weight: number;
  up: number; // pairs beyond the margin
  down: number;
  log_e_unats: number;
}

export interface EvidenceGroup {
  name: string;
  weight: number;
  log_e_unats: number;
  parts: EvidencePart[];
}

export interface Verdict {
  decision: string;
  finding: string;
  reasons: string[];
  expired: boolean;
  log_e_unats: number;
  threshold_unats: number;
  groups: EvidenceGroup[];
  certificates: { name: string; guarded: boolean; log_e_unats: number }[];
  pairs: { planned: number; started: number; complete: number; required: number; silent_canaries: number; silent_controls: number };
  smallest_effect_uoct: number;
}

interface QuantilePolicy {
  quantile_ppm: number;
  resolutions: number[];
  margin_uoct: number;
}

interface SharePolicy {
  resolutions: number[];
  margin_ppm: number;
}

export interface VerdictRecord {
  format: string;
  policy: { alpha_ppm: number; beta_ppm: number; age_pass_min_s: number; age_max_s: number; p50: QuantilePolicy; p99: QuantilePolicy; errors: SharePolicy; accuracy: SharePolicy };
  randomised: boolean;
  age_s: number;
  pairs: VerdictPair[];
  verdict: Verdict;
}

// An item of GET /rollouts/{id}/verdicts.
export interface RecordedVerdict {
  at_ms: number;
  decision: string;
  record: VerdictRecord;
}
