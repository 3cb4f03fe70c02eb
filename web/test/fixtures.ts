// Answers of a server at the end of the story (scripts/demo), in the shapes of docs/formats/operator-api.md.
import type {
  Device, GateMeasurement, List, Overview, Release, ReleaseSummary, ReleaseTelemetry, Rollout, RolloutDevice, RolloutSummary, Session, Telemetry, TimelineItem,
  VerdictRecord,
} from "../src/api/types";
// Recorded from runs of tests/e2e/fleet.py: before the first look, a hold with a silent canary, a pass, a fail.
import { driftOf } from "./drift-fixtures";
import { dryRunOf, waitingRollouts } from "./plan-fixtures";
import early from "./verdicts/early.json";
import fail from "./verdicts/fail.json";
import hold from "./verdicts/hold.json";
import pass from "./verdicts/pass.json";

export const verdicts = { early, hold, pass, fail } as unknown as Record<"early" | "hold" | "pass" | "fail", VerdictRecord>;

export const now = Date.UTC(2026, 10, 25, 9, 30, 0);
const minute = 60_000;
export const hardwareClass = "x86_64-avx512vnni-2c-16g-cpu";
export const deviceId = "dev-3f9c2a71b05e";

const digest = (seed: number) => Array.from({ length: 64 }, (_, i) => ((seed * 31 + i * 7 + ((i * i * seed) % 13)) % 16).toString(16)).join("");
export const digests: Record<string, string> = { "1.0.0": digest(1), "1.1.0": digest(2), "1.3.0": digest(3), "1.4.0": digest(4) };
export const list = <T>(items: T[], next_cursor = ""): List<T> => ({ items, next_cursor });

export const session: Session = { name: "admin", role: "admin", expires_ms: now + 12 * 60 * minute };

const slot = (version: string, variant: string, counter: number) => ({
  version, counter, manifest_sha256: digests[version]!, variant,
  variant_reason: `${variant}: lowest expected p99 (903 us on ${hardwareClass}) of 2 variants that fit`, rollout: "ro-7d1e", arm: "none",
});

export const device: Device = {
  id: deviceId, state: "attention", enrolled_ms: now - 95 * minute, last_seen_ms: now - 2_000, online: true,
  labels: { site: "oslo", kind: "camera" }, hardware_class: hardwareClass, agent_version: "0.1.0",
  models: [{
    model: "fashion-mnist",
    active: { ...slot("1.4.0", "int8", 5), slot: "a", state: "serving" },
    slots: { a: slot("1.4.0", "int8", 5), b: slot("1.1.0", "int8", 2) },
    update: { state: "idle" },
    rejected: [{ manifest_sha256: digests["1.3.0"]!, version: "1.3.0", reason: "trial.memory", at_ms: now - 31 * minute }],
    last_reason: "trial.memory", floor: 1,
    assigned: { version: "1.4.0", rollout: "", arm: "none" },
  }],
  profile: {
    architecture: "x86_64", isa: "avx512vnni", cores: 2, memory_bytes: 16_777_216_000, cpu_model: "Intel(R) Xeon(R) Platinum 8481C",
    os: "Debian GNU/Linux 12", kernel: "6.1.0-28-amd64", runtime: { name: "onnxruntime", version: "1.22.0" },
  },
  certificate: { fingerprint: digest(9), not_after_ms: now + 89 * 24 * 60 * minute },
  rollouts: [
    { id: "ro-7d1e", model: "fashion-mnist", version: "1.4.0", state: "committed", reason: "" },
    { id: "ro-51aa", model: "fashion-mnist", version: "1.3.0", state: "rolled_back", reason: "trial.memory" },
  ],
  telemetry: [
    { model: "fashion-mnist", version: "1.4.0", count: 18_240, errors: 0, p50_us: 402, p95_us: 610, p99_us: 903, labelled: 18_240, right: 16_571, accuracy_ppm: 908_498, last_window_ms: now - 40_000 },
    { model: "fashion-mnist", version: "1.1.0", count: 42_113, errors: 3, p50_us: 688, p95_us: 990, p99_us: 1_503, labelled: 42_113, right: 37_902, accuracy_ppm: 900_007, last_window_ms: now - 20 * minute },
  ],
};

export const candidateDevice: Device = {
  ...device, id: "dev-88b1c0ffee42", state: "updating", labels: { site: "bergen", kind: "camera" }, last_seen_ms: now - 4_000,
  models: [{
    ...device.models[0]!, active: { ...slot("1.1.0", "fp32", 2), slot: "b", state: "serving" },
    slots: { a: null, b: slot("1.1.0", "fp32", 2) }, rejected: [], last_reason: "",
    update: { state: "trial", stage: "shadow", slot: "a", release: { version: "1.4.0" } },
    assigned: { version: "1.4.0", rollout: "ro-7d1e", arm: "canary" },
  }],
};

export const newDevice: Device = {
  id: "dev-0000000000ab", state: "new", enrolled_ms: now - minute, last_seen_ms: 0, online: false, labels: {}, hardware_class: "", agent_version: "", models: [],
};

export const devices: List<Device> = list([newDevice, device, candidateDevice,
  { ...device, id: "dev-91d0e4f2a7c3", state: "ok", labels: { site: "oslo", kind: "gate" }, hardware_class: "aarch64-dotprod-4c-4g-cpu",
    models: [{ ...device.models[0]!, active: { ...slot("1.4.0", "fp32", 5), slot: "b", state: "serving" }, rejected: [], last_reason: "" }] },
  { ...device, id: "dev-a7c04b1d99e0", state: "offline", online: false, last_seen_ms: now - 3 * 60 * minute,
    models: [{ ...device.models[0]!, active: { ...slot("1.0.0", "fp32", 1), slot: "a", state: "serving" }, rejected: [], last_reason: "" }] },
]);

let eventId = 400;
const event = (minutes: number, kind: string, rest: Partial<TimelineItem> = {}): TimelineItem => ({ id: eventId--, at_ms: now - minutes * minute, kind, ...rest });
const update = (minutes: number, version: string, state: string, rest: Partial<TimelineItem> = {}) =>
  event(minutes, "update", { model: "fashion-mnist", version, state, rollout: "ro-7d1e", variant: "int8", slot: version === "1.1.0" ? "b" : "a", ...rest });

export const timeline: List<TimelineItem> = list([
  update(6, "1.4.0", "committed", { detail: { message: "100 live requests answered, 0 errors; p99 0.90 ms of 50 ms" } }),
  update(7, "1.4.0", "trial", { detail: { message: "golden outputs equal, 50 requests shadowed" } }),
  event(8, "started", { detail: { boot: "b7e1", agent_version: "0.1.0" } }),
  update(9, "1.4.0", "staged"),
  update(11, "1.4.0", "downloading", { variant: "", slot: "" }),
  event(12, "started", { detail: { boot: "b7e0", agent_version: "0.1.0" } }),
  update(31, "1.3.0", "rolled_back", { reason: "trial.memory", rollout: "ro-51aa", detail: { message: "the worker needed 611 MiB, 512 MiB are allowed; killed by the limit at request 37" } }),
  update(32, "1.3.0", "trial", { rollout: "ro-51aa" }),
  update(33, "1.3.0", "downloading", { rollout: "ro-51aa", variant: "", slot: "" }),
  update(52, "1.1.0", "committed", { rollout: "ro-2c40" }),
  update(53, "1.1.0", "trial", { rollout: "ro-2c40" }),
  update(54, "1.1.0", "downloading", { rollout: "ro-2c40", variant: "", slot: "" }),
  update(80, "1.0.0", "committed", { rollout: "ro-11b9" }),
  update(81, "1.0.0", "downloading", { rollout: "ro-11b9", variant: "", slot: "" }),
  event(90, "labelled", { detail: { by: "admin", labels: { site: "oslo", kind: "camera" } } }),
  event(95, "enrolled"),
]);

const summary = (version: string, counter: number, state: string, minutes: number, running: number): ReleaseSummary => ({
  model: "fashion-mnist", version, counter, manifest_sha256: digests[version]!, published_ms: now - minutes * minute, published_by: "ci",
  description: "Clothing in 28x28 grey images", state, devices: { running, total: 40 }, gate_result: "PASSED", variant_names: ["fp32", "int8"],
});

export const releases: List<ReleaseSummary> = list([
  summary("1.4.0", 5, "rolling_out", 14, 21), summary("1.3.0", 4, "quarantined", 35, 0), summary("1.1.0", 2, "current", 56, 17), summary("1.0.0", 1, "superseded", 84, 1),
]);

const check = (id: string, unit: string, value: number, threshold: number, op: string, rest: Partial<GateMeasurement> = {}): GateMeasurement => ({
  id: `${id}@${hardwareClass}/${rest.detail?.includes("int8") ? "int8" : "fp32"}`, unit, value, threshold, op, n: 10_000, verdict: "pass", detail: "", ...rest,
});

export const release: Release = {
  ...releases.items[0]!,
  variants: [
    { name: "fp32", precision: "fp32", opset: 13, file_sha256: digest(21), file_length: 412_332, devices: 6,
      measured: [{ hardware_class: hardwareClass, latency_p50_us: 803, latency_p99_us: 1_511, memory_peak_bytes: 94_371_840, accuracy_ppm: 910_400, samples: 10_000 }] },
    { name: "int8", precision: "int8", opset: 13, file_sha256: digest(22), file_length: 118_204, devices: 15,
      measured: [{ hardware_class: hardwareClass, latency_p50_us: 402, latency_p99_us: 903, memory_peak_bytes: 61_865_984, accuracy_ppm: 908_500, samples: 10_000 }] },
  ],
  gate: {
    verified: true, result: "PASSED", keys_counted: 1, finished_ms: now - 16 * minute, error: "", attestations_sha256: digest(30),
    report: {
      verdict: "pass", startedOn: "2026-11-25T09:13:10Z", finishedOn: "2026-11-25T09:14:02Z",
      runtime: { name: "onnxruntime", version: "1.22.0" }, dataset: { name: "fashion-mnist-test", sha256: digest(31), samples: 10_000 },
      measurements: [
        check("accuracy.top1", "ppm", 910_400, 850_000, ">=", { low: 905_500, detail: "9104 of 10000 right; at least 90.55 % with 95 % confidence" }),
        check("accuracy.top1", "ppm", 908_500, 850_000, ">=", { low: 903_600, detail: "int8: 9085 of 10000 right; at least 90.36 % with 95 % confidence" }),
        check("accuracy.regression", "ppm", 4_000, -10_000, ">=", { low: -2_100, high: 10_100, detail: "candidate minus 1.1.0, paired" }),
        check("latency.p99", "us", 1_511, 50_000, "<=", { high: 1_702, n: 1_000, detail: "99 % of requests under 1.70 ms with 95 % confidence" }),
        check("latency.regression", "ratio", 0.982, 1.1, "<=", { low: 0.951, high: 1.013, n: 1_000, detail: "p50 against 1.1.0" }),
        check("memory.peak", "bytes", 94_371_840, 536_870_912, "<=", { n: 1, detail: "peak of the worker" }),
        check("golden.determinism", "count", 16, 16, ">=", { n: 16, detail: "16 of 16 samples equal within 0.001" }),
      ],
      invocation: { commit: "f3a91c7", url: "" },
    },
  },
  rollouts: [{ id: "ro-7d1e", state: "running" }],
};

const noDevices = { selected: 0, waiting: 0, offered: 0, downloading: 0, staged: 0, trial: 0, committed: 0, rolled_back: 0, rejected: 0, failed: 0, refused: 0, timed_out: 0 };
export const rolloutSummary = (rest: Partial<RolloutSummary> = {}): RolloutSummary => ({
  id: "ro-7d1e", name: "", model: "fashion-mnist", version: "1.4.0", from_version: "1.1.0", selector: "*", state: "running", reason: "", revision: 5,
  created_ms: now - 12 * minute, created_by: "ci", ended_ms: 0, phase: 1, soak_until_ms: 0,
  devices: { ...noDevices, selected: 40, waiting: 12, downloading: 3, staged: 1, trial: 2, committed: 21, rolled_back: 1 }, recalled: false, gate: null, ...rest,
});

export const failedRollout = rolloutSummary({
  id: "ro-51aa", version: "1.3.0", state: "failed", reason: "rollout.failures", phase: 0, created_ms: now - 34 * minute, ended_ms: now - 31 * minute,
  devices: { ...noDevices, selected: 4, waiting: 3, rolled_back: 1 },
});

export const rollouts: List<RolloutSummary> = list([
  rolloutSummary(), failedRollout,
  rolloutSummary({ id: "ro-2c40", version: "1.1.0", from_version: "1.0.0", state: "done", name: "autumn", selector: "label.site=oslo", created_ms: now - 55 * minute, ended_ms: now - 50 * minute, devices: { ...noDevices, selected: 17, committed: 17 } }),
]);

export const rollout: Rollout = {
  ...rolloutSummary(),
  policy: { failures_max: 1, device_timeout_s: 900, phases: [{ percent: 10, soak_s: 60 }, { percent: 50, soak_s: 600 }, { percent: 100, soak_s: 0 }] },
  phases: [
    { percent: 10, soak_s: 60, state: "done", devices: 4, counts: { committed: 4 } },
    { percent: 50, soak_s: 600, state: "running", devices: 20, counts: { committed: 13, downloading: 3, staged: 1, trial: 2, rolled_back: 1 } },
    { percent: 100, soak_s: 0, state: "waiting", devices: 40, counts: { committed: 13, downloading: 3, staged: 1, trial: 2, rolled_back: 1, waiting: 20 } },
  ],
  failures: [{ reason: "trial.latency", count: 1, devices: ["dev-a7c04b1d99e0"] }],
  log: [
    { at_ms: now - 4 * minute, phase: 1, verdict: "hold", decision: "soak", detail: "1 device failed, 1 is allowed: trial.latency on dev-a7c04b1d99e0", by: "" },
    { at_ms: now - 9 * minute, phase: 1, verdict: "pass", decision: "advance", detail: "4 of 4 devices committed, soak of 60 s over", by: "" },
    { at_ms: now - 12 * minute, phase: 0, verdict: "pass", decision: "start", detail: "40 devices selected by *", by: "ci" },
  ],
};

export const stoppedRollout: Rollout = {
  ...rollout, ...failedRollout, policy: { failures_max: 0, device_timeout_s: 900 },
  phases: [{ percent: 50, soak_s: 10, state: "failed", devices: 2, counts: { committed: 0, waiting: 1, rolled_back: 1 } }, { percent: 100, soak_s: 0, state: "waiting", devices: 4, counts: { waiting: 3, rolled_back: 1 } }],
  failures: [{ reason: "trial.memory", count: 1, devices: [deviceId] }],
  log: [{ at_ms: now - 31 * minute, phase: 0, verdict: "fail", decision: "stop", detail: `1 device failed, 0 are allowed: trial.memory on ${deviceId}`, by: "" }],
};

// Ten canaries and their controls: one that is judged now, one whose release was found slow and ordered back.
const gatedPhases = (state: string, counts: Record<string, number>): Rollout["phases"] => [
  { percent: 50, soak_s: 0, state, devices: 10, counts }, { percent: 100, soak_s: 0, state: "waiting", devices: 20, counts: { ...counts, waiting: 10 } },
];
export const gatedRollout: Rollout = {
  ...rollout, ...rolloutSummary({ id: "ro-9a01", version: "1.4.1", from_version: "1.4.0", phase: 0, created_ms: now - 2 * minute, gate: { pairs: 10, passed: false, reason: "gate.few_pairs" },
    devices: { ...noDevices, selected: 20, waiting: 10, committed: 10 } }),
  policy: { ...rollout.policy, phases: [{ percent: 50, soak_s: 0 }, { percent: 100, soak_s: 0 }] }, phases: gatedPhases("running", { committed: 10 }),
  failures: [{ reason: "gate.silence", count: 1, devices: [verdicts.hold.pairs[0]!.canary] }],
  log: [
    { at_ms: now - minute, phase: 0, verdict: "hold", decision: "judge", detail: "gate.few_pairs: evidence of harm 1 of 20 needed; 0 of 10 pairs complete", by: "" },
    { at_ms: now - 2 * minute, phase: 0, verdict: "hold", decision: "start", detail: "fashion-mnist 1.4.1 to *, first 50 %", by: "ci" },
  ],
};
export const recalledRollout: Rollout = {
  ...gatedRollout, ...rolloutSummary({ id: "ro-9b02", version: "1.5.0", from_version: "1.4.0", state: "failed", reason: "gate.latency", phase: 0, created_ms: now - 9 * minute, ended_ms: now - 8 * minute,
    recalled: true, gate: { pairs: 10, passed: false, reason: "gate.latency" }, devices: { ...noDevices, selected: 20, waiting: 10, committed: 3, rolled_back: 7 } }),
  phases: gatedPhases("failed", { committed: 3, rolled_back: 7 }),
  failures: [{ reason: "gate.latency", count: 7, devices: verdicts.fail.pairs.slice(0, 7).map((pair) => pair.canary) }],
  log: [
    { at_ms: now - 8 * minute, phase: 0, verdict: "fail", decision: "rollback", detail: "gate.latency: evidence of harm 23.6 of 20 needed; 0 of 10 pairs complete", by: "" },
    { at_ms: now - 9 * minute, phase: 0, verdict: "hold", decision: "judge", detail: "gate.few_pairs: evidence of harm 1 of 20 needed; 0 of 10 pairs complete", by: "" },
  ],
};
const canariesOf = ({ pairs }: VerdictRecord, state: string, reason: string): List<RolloutDevice> => list(pairs.flatMap(({ canary, control }) => [
  { device: canary, state, reason, since_ms: now - minute, phase: 0 }, { device: control, state: "waiting", reason: "", since_ms: 0, phase: 1 },
]));

export const rolloutDevices: List<RolloutDevice> = list([
  { device: deviceId, state: "committed", reason: "", since_ms: now - 6 * minute, phase: 0 },
  { device: candidateDevice.id, state: "trial", reason: "", since_ms: now - minute, phase: 1 },
  { device: "dev-a7c04b1d99e0", state: "rolled_back", reason: "trial.latency", since_ms: now - 4 * minute, phase: 1 },
  { device: "dev-91d0e4f2a7c3", state: "waiting", reason: "", since_ms: 0, phase: 2 },
]);

export const overview: Overview = {
  at_ms: now, devices: { total: 40, online: 38, updating: 5, attention: 1, offline: 2, new: 0, revoked: 0 }, models: 1, releases: 4,
  telemetry: { inferences: 1_204_331, errors: 12, p50_us: 402, p95_us: 990, p99_us: 1_503, window_s: 3_600 },
  attention: [
    { kind: "rollout_failed", severity: "error", subject: "rollout:ro-51aa", text: "fashion-mnist 1.3.0: 1 device failed, 0 are allowed", since_ms: now - 31 * minute, reason: "rollout.failures" },
    { kind: "device_attention", severity: "warning", subject: `device:${deviceId}`, text: `${deviceId}: fashion-mnist 1.3.0 was rolled back`, since_ms: now - 31 * minute, reason: "trial.memory" },
    { kind: "trust_expiring", severity: "warning", subject: "trust:fashion-mnist", text: "the metadata of role fashion-mnist expires in 12 days", since_ms: now - 300 * minute, reason: "" },
  ],
  rollouts: [rolloutSummary()],
  distribution: [{ model: "fashion-mnist", total: 40, releases: [
    { version: "1.4.0", devices: 21, share_ppm: 525_000 }, { version: "1.1.0", devices: 17, share_ppm: 425_000 }, { version: "1.0.0", devices: 1, share_ppm: 25_000 }, { version: "", devices: 1, share_ppm: 25_000 },
  ] }],
  feed: timeline.items.map((item) => ({ ...item, device: deviceId })),
};

const wave = (i: number, phase: number) => Math.sin(i * 0.7 + phase) + Math.sin(i * 1.9 + phase);
const series = (from: number, to: number, p50: number, right: number) => Array.from({ length: from - to }, (_, i) => ({
  at_ms: now - (from - i) * minute, count: 600, errors: 0, p50_us: Math.round(p50 + wave(i, 0) * 12), p95_us: Math.round(p50 * 1.5 + wave(i, 1) * 30),
  p99_us: Math.round(p50 * 2.2 + wave(i, 2) * 60), labelled: 600, right: Math.round(600 * right + wave(i, 3) * 4),
}));
const telemetryOf = (version: string, rest: Partial<ReleaseTelemetry>): ReleaseTelemetry => ({
  version, count: 0, errors: 0, p50_us: 0, p95_us: 0, p99_us: 0, labelled: 0, right: 0, classes: [], worker_memory_bytes: 0, devices: 0, series: [], ...rest,
});

export const telemetry: Telemetry = {
  model: "fashion-mnist", from_ms: now - 60 * minute, to_ms: now, step_s: 60, labels: ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"],
  releases: [
    telemetryOf("1.4.0", { count: 18_240, p50_us: 402, p95_us: 610, p99_us: 903, labelled: 18_240, right: 16_571, accuracy_ppm: 908_498, classes: [1_900, 1_800, 1_850, 1_750, 1_800, 1_820, 1_780, 1_860, 1_840, 1_840], worker_memory_bytes: 61_865_984, devices: 21, series: series(11, 0, 402, 0.908) }),
    telemetryOf("1.3.0", { count: 37, errors: 2, p50_us: 702, p95_us: 990, p99_us: 1_800, worker_memory_bytes: 536_870_912 }),
    telemetryOf("1.1.0", { count: 42_113, errors: 3, p50_us: 688, p95_us: 990, p99_us: 1_503, labelled: 42_113, right: 37_902, accuracy_ppm: 900_007, classes: [4_200, 4_210, 4_190, 4_230, 4_200, 4_220, 4_180, 4_240, 4_220, 4_223], worker_memory_bytes: 91_226_112, devices: 17, series: [...series(58, 34, 688, 0.9), ...series(30, 8, 690, 0.9)] }),
  ],
};

export const telemetryClasses = {
  model: "fashion-mnist",
  items: [
    { version: "1.1.0", hardware_class: hardwareClass, devices: 17, count: 42_113, errors: 3, p50_us: 688, p95_us: 990, p99_us: 1_503, labelled: 42_113, accuracy_ppm: 900_007 },
    { version: "1.4.0", hardware_class: hardwareClass, devices: 20, count: 18_000, errors: 0, p50_us: 401, p95_us: 608, p99_us: 900, labelled: 18_000, accuracy_ppm: 910_000 },
    { version: "1.4.0", hardware_class: "", devices: 1, count: 240, errors: 0, p50_us: 1_402, p95_us: 1_610, p99_us: 1_903, labelled: 0 },
  ],
};

export const drift = driftOf(now, hardwareClass);
export const dryRun = dryRunOf(hardwareClass);
export const waiting = waitingRollouts(rollout, now);

export const models = list([{ model: "fashion-mnist", releases: 4, latest: "1.4.0", current: "1.1.0", devices: 40, active_rollout: "ro-7d1e", minimum_counter: 1 }]);

// Path of a request below /api/v1 → its answer.
export const answers: Record<string, unknown> = {
  "/session": session, "/overview": overview, "/devices": devices, [`/devices/${deviceId}`]: device, [`/devices/${candidateDevice.id}`]: candidateDevice,
  [`/devices/${newDevice.id}`]: newDevice, [`/devices/${deviceId}/timeline`]: timeline, [`/devices/${candidateDevice.id}/timeline`]: timeline, [`/devices/${newDevice.id}/timeline`]: list([]),
  "/releases": releases, "/releases/fashion-mnist/1.4.0": release, "/rollouts": rollouts, "/rollouts/ro-7d1e": rollout, "/rollouts/ro-51aa": stoppedRollout,
  "/rollouts/ro-7d1e/devices": rolloutDevices, "/rollouts/ro-51aa/devices": list([{ device: deviceId, state: "rolled_back", reason: "trial.memory", since_ms: now - 31 * minute, phase: 0 }]),
  [`/rollouts/${gatedRollout.id}`]: gatedRollout, [`/rollouts/${gatedRollout.id}/verdict`]: verdicts.hold, [`/rollouts/${gatedRollout.id}/devices`]: canariesOf(verdicts.hold, "committed", ""),
  [`/rollouts/${recalledRollout.id}`]: recalledRollout, [`/rollouts/${recalledRollout.id}/verdict`]: verdicts.fail, [`/rollouts/${recalledRollout.id}/devices`]: canariesOf(verdicts.fail, "rolled_back", "gate.latency"),
  "/models": models, "/telemetry": telemetry, "/telemetry/classes": telemetryClasses, "/drift": drift,
  ...Object.fromEntries(Object.values(waiting).flatMap((one) => [[`/rollouts/${one.id}`, one], [`/rollouts/${one.id}/devices`, list([])]])),
};
