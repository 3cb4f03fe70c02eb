// GET /drift while the light changes: one hardware class drifts far, one does not, and both arms of a rollout do.
import type { Drift, DriftCohort, DriftWindow } from "../src/api/types";

const minute = 60_000;
const tested = (n: number, tv: number) => ({ use: "tested", n, n_ref: 10_000, bins: 10, chi_square: 9.1 + 100 * tv, p: 0.43, e: 0.6, effect: { psi: tv / 2, js: tv / 3, tv } });

export const driftWindow = (end_ms: number, rest: Partial<DriftWindow> = {}): DriftWindow => {
  const tv = rest.tv ?? 0.02;
  return {
    start_ms: end_ms - 5 * minute, end_ms, samples: 240, devices: 10, limited: 0, level: "ok", reason: "", alarm: false, e: 0.8, sr: 1.9,
    features: { classes: tested(240, tv), confidence: tested(240, tv), mnlp: { use: "no_reference", n: 240, n_ref: 0 } },
    shift: { classes: { psi: tv / 2, js: tv / 3, tv }, confidence: { psi: tv / 4, js: tv / 6, tv: tv / 2 } }, tv,
    estimated_accuracy: { reference: 0.871, now: 0.871 - tv / 4, standard_error: 0.01 }, median_extreme: false, relevant: tv > 0.1, labels: { right: 0, wrong: 0, sr: 1 }, witness: [], ...rest,
  };
};

const warns: Partial<DriftWindow> = { level: "warn", reason: "drift.warn", tv: 0.31, e: 5_238.9, sr: 5_301.2, alarm: true, limited: 1, relevant: true };

export function driftOf(now: number, hardwareClass: string): Drift {
  const run = (last: Partial<DriftWindow>, from: number): DriftWindow[] => Array.from({ length: 12 }, (_, i) => driftWindow(now - (59 - 5 * i) * minute, i >= from ? last : {}));
  const cohort = (id: string, rest: Partial<DriftCohort>): DriftCohort => ({
    id, version: "1.4.0", manifest_sha256: "", hardware_class: hardwareClass, rollout: "", arm: "none", level: "ok", reason: "", since_ms: now - 60 * minute, windows_total: 412, alarms: 0, last_alarm_ms: 0,
    sr: 1.9, devices: 10, reference_samples: 10_000, open: { start_ms: now - 4 * minute, samples: 130, devices: 4 }, windows: [], ...rest,
  });
  return {
    model: "fashion-mnist", from_ms: now - 60 * minute, to_ms: now, policy: { window_samples: 200, alarm_at: 1_000, tv_relevant: 0.1 },
    cohorts: [
      cohort("dc-1", { level: "critical", reason: "drift.critical", alarms: 3, last_alarm_ms: now - 4 * minute, since_ms: now - 4 * minute,
        windows: [...run(warns, 8).slice(0, 11), driftWindow(now - 4 * minute, { ...warns, level: "critical", reason: "drift.critical", labels: { right: 12, wrong: 20, sr: 1_400 }, witness: ["accuracy"] })] }),
      cohort("dc-2", { hardware_class: "aarch64-dotprod-4c-4g-cpu", devices: 8, windows: run({}, 0), open: null }),
      cohort("dc-3", { version: "1.1.0", level: "notice", reason: "drift.notice", devices: 17, windows: run({ level: "notice", reason: "drift.notice", tv: 0.07, sr: 1_040, alarm: true, estimated_accuracy: null }, 10) }),
      cohort("dc-4", { hardware_class: "", rollout: "ro-9a01", arm: "canary", level: "warn", reason: "drift.warn", windows: run(warns, 9) }),
      cohort("dc-5", { version: "1.1.0", hardware_class: "", rollout: "ro-9a01", arm: "control", level: "warn", reason: "drift.warn", windows: run(warns, 9).slice(6) }),
    ],
    rollouts: [{ rollout: "ro-9a01", version: "1.4.1", from_version: "1.4.0", cause: "world", reason: "drift.world_changed", at_ms: now - 8 * minute, text: "canary and control drift alike: total variation 0.31 and 0.29", canary: "dc-4", control: "dc-5" }],
  };
}
