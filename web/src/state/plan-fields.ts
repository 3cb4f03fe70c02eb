// The fields of a new rollout's form: how each is named, read and written, and which member of POST /rollouts it becomes.
import { parseDuration } from "./duration";

export type FieldKind = "text" | "count" | "duration" | "instant" | "clock" | "percent" | "names" | "flag";
export type Section = "who" | "failures" | "pace" | "start" | "window" | "gate";

export interface PlanField {
  key: string; // also its name in the address
  path: string; // in the body
  section: Section;
  kind: FieldKind;
  label: string;
  hint: string;
  otherwise: string; // what stands there at first; "" is left out of the body
}

const field = (section: Section, kind: FieldKind, key: string, path: string, label: string, otherwise: string, hint: string): PlanField => ({ section, kind, key, path, label, otherwise, hint });

export const planFields: PlanField[] = [
  field("who", "text", "selector", "selector", "Selector", "*", "* for every device, or label.site=oslo,label.kind=camera: all must match"),
  field("who", "text", "name", "name", "Name", "", "For people; the release's name when empty"),
  field("failures", "count", "failures", "policy.failures_max", "Failed devices allowed", "0", "One more stops the rollout; with a percentage, 0 leaves it to that"),
  field("failures", "count", "failures_percent", "policy.failures_percent_max", "Failed devices allowed, in percent", "", "Of those with an outcome; empty: only the number counts"),
  field("failures", "count", "executed", "policy.executed_min", "Outcomes needed before the percentage counts", "1", "One of one failed would be 100 %"),
  field("failures", "count", "success", "policy.success_percent_min", "Success needed to end a phase, in percent", "0", "Of the phase's devices; 0: one is enough"),
  field("failures", "duration", "timeout", "policy.device_timeout_s", "Time for one device", "15m", "Offered and silent for longer counts as failed"),
  field("pace", "count", "in_flight", "policy.in_flight_max", "Devices on their way at once", "0", "0: no limit"),
  field("pace", "text", "site_label", "policy.site_budget.label", "Site label", "", "Devices that share its value are one site; empty: no site limit"),
  field("pace", "count", "site_devices", "policy.site_budget.devices_max", "Devices of one site on their way at once", "", "Together with the site label"),
  field("pace", "count", "penalty_failures", "policy.penalty.failures", "Failures after which a device is left out", "", "Of any rollout of the model; empty: never"),
  field("pace", "duration", "penalty_within", "policy.penalty.within_s", "Counted over", "", "Together with the number of failures"),
  field("start", "instant", "starts_at", "policy.starts_at", "Start (UTC)", "", "Empty: at once"),
  field("start", "count", "approvals", "policy.approvals", "Approvals needed", "0", "People other than you who must say yes before it starts"),
  field("window", "clock", "from", "policy.window.from", "From", "", "In each device's own time"),
  field("window", "clock", "to", "policy.window.to", "To", "", "May lie after midnight"),
  field("gate", "duration", "warm_up", "policy.gate.warm_up_s", "Warm-up", "1m", "After a canary's commit; not counted, on either side"),
  field("gate", "names", "strata", "policy.gate.strata", "Labels a pair must share", "", "Beside the hardware class, for example site"),
  field("gate", "count", "pairs", "policy.gate.judge.pairs_pass_min", "Complete pairs for a pass", "20", "All pairs where fewer were drawn"),
  field("gate", "duration", "watch", "policy.gate.judge.age_pass_min_s", "Watched for at least", "2h", "No pass for “no harm found” before"),
  field("gate", "duration", "patience", "policy.gate.judge.age_max_s", "Watched for at most", "1d", "Still undecided then: the rollout ends and everybody goes back"),
  field("gate", "percent", "alpha", "policy.gate.judge.alpha_ppm", "Chance to fail a harmless release, in percent", "5", "At most, however often one looks"),
  field("gate", "flag", "guarded", "policy.gate.judge.accuracy_guarded", "No pass without labels", "", "Needs labelled answers on enough pairs"),
];

export const fieldsOf = (section: Section) => planFields.filter((one) => one.section === section);

export const weekdays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

type Read = { value: unknown } | { problem: string };

const labelName = /^[a-z0-9][a-z0-9._-]{0,62}$/;

// What stands in a field as the value that the API takes. The server checks again and knows more.
export function readField(kind: FieldKind, text: string): Read {
  const clean = text.trim();
  switch (kind) {
    case "count":
      return /^\d{1,9}$/.test(clean) ? { value: Number(clean) } : { problem: `expected a whole number, found “${clean}”` };
    case "duration": {
      const seconds = parseDuration(clean);
      return seconds === undefined ? { problem: `expected a time like 90s, 15m, 2h or 1d, found “${clean}”` } : { value: seconds };
    }
    case "instant": {
      const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d$/.test(clean) ? Date.parse(`${clean}:00Z`) : NaN;
      return Number.isNaN(at) ? { problem: `expected a day and a time, found “${clean}”` } : { value: `${clean}:00Z` };
    }
    case "clock":
      return /^([01]\d|2[0-3]):[0-5]\d$/.test(clean) ? { value: clean } : { problem: `expected a time of day like 01:00, found “${clean}”` };
    case "percent": {
      const percent = Number(clean);
      return clean !== "" && percent > 0 && percent < 100 ? { value: Math.round(percent * 10_000) } : { problem: `expected a number between 0 and 100, found “${clean}”` };
    }
    case "names": {
      const names = clean.split(",").map((name) => name.trim()).filter((name) => name !== "");
      const wrong = names.find((name) => !labelName.test(name));
      return wrong === undefined ? { value: names } : { problem: `“${wrong}” is no name of a label` };
    }
    case "flag":
      return { value: clean === "on" };
    case "text":
      return { value: clean };
  }
}
