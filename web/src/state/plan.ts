// A new rollout while somebody writes it: what stands in the form, the same as an address, and the body that it becomes.
import type { PolicyPhase, RolloutPlan } from "../api/types";
import { parseDuration } from "./duration";
import { planFields, readField, weekdays } from "./plan-fields";

export type PhaseKind = "percent" | "devices" | "selector";
export const phaseKinds: PhaseKind[] = ["percent", "devices", "selector"];

export interface PhaseRow {
  kind: PhaseKind;
  size: string;
  soak: string;
}

export interface PlanForm {
  model: string;
  version: string;
  texts: Record<string, string>; // by the key of plan-fields.ts
  phases: PhaseRow[]; // without the last one, which is everybody
  lastSoak: string;
  days: string[]; // none: every day
  gate: "" | "on" | "off"; // "": on when there is a release to compare with
  lift: boolean; // the release failed before, and is meant all the same
}

const firstPhases: PhaseRow[] = [{ kind: "percent", size: "10", soak: "10m" }, { kind: "percent", size: "50", soak: "10m" }];
const noSoak = "0s";

const phaseText = ({ kind, size, soak }: PhaseRow) => `${kind}:${size}:${soak}`;
function phaseOf(text: string): PhaseRow | undefined {
  const [first, last] = [text.indexOf(":"), text.lastIndexOf(":")];
  const kind = phaseKinds.find((one) => one === text.slice(0, first));
  return kind && last > first ? { kind, size: text.slice(first + 1, last), soak: text.slice(last + 1) } : undefined;
}

export function formOf(query: URLSearchParams): PlanForm {
  const texts = Object.fromEntries(planFields.map(({ key, otherwise }) => [key, query.get(key) ?? otherwise]));
  const given = query.getAll("phase").map(phaseOf).filter((row) => row !== undefined);
  const gate = query.get("gate");
  return {
    model: query.get("model") ?? "", version: query.get("version") ?? "", texts,
    phases: query.get("phases") === "one" ? [] : given.length > 0 ? given : firstPhases,
    lastSoak: query.get("last_soak") ?? noSoak,
    days: weekdays.filter((day) => (query.get("days") ?? "").split(",").includes(day)),
    gate: gate === "on" || gate === "off" ? gate : "", lift: query.get("lift") === "on",
  };
}

// Only what differs from an untouched form, so that the address stays short.
export function queryOf(form: PlanForm): URLSearchParams {
  const query = new URLSearchParams();
  if (form.model) query.set("model", form.model);
  if (form.version) query.set("version", form.version);
  for (const { key, otherwise } of planFields) if (form.texts[key] !== otherwise) query.set(key, form.texts[key] ?? "");
  if (form.phases.length === 0) query.set("phases", "one");
  else if (form.phases.map(phaseText).join() !== firstPhases.map(phaseText).join()) for (const row of form.phases) query.append("phase", phaseText(row));
  if (form.lastSoak !== noSoak) query.set("last_soak", form.lastSoak);
  if (form.days.length > 0) query.set("days", form.days.join(","));
  if (form.gate) query.set("gate", form.gate);
  if (form.lift) query.set("lift", "on");
  return query;
}

type Problems = Map<string, string>; // by path of the body

function put(target: Record<string, unknown>, path: string, value: unknown): void {
  const names = path.split(".");
  let at = target;
  for (const name of names.slice(0, -1)) at = (at[name] ??= {}) as Record<string, unknown>;
  at[names[names.length - 1]!] = value;
}

function phaseBody({ kind, size, soak }: PhaseRow, path: string, problems: Problems): PolicyPhase {
  const soak_s = soak.trim() === "" ? 0 : parseDuration(soak);
  if (soak_s === undefined) problems.set(`${path}.soak_s`, `expected a time like 90s, 15m or 2h, found “${soak.trim()}”`);
  const read = readField(kind === "selector" ? "text" : "count", size);
  if ("problem" in read) problems.set(`${path}.${kind}`, read.problem);
  else if (read.value === "") problems.set(`${path}.${kind}`, "expected a selector like label.ring=early");
  return { [kind]: "value" in read ? read.value : size, soak_s: soak_s ?? 0 };
}

// Two that say nothing without each other; `given` is the one that was filled in.
const couples: [string, string][] = [["site_label", "site_devices"], ["penalty_failures", "penalty_within"], ["from", "to"]];
const pathOf = (key: string) => planFields.find((one) => one.key === key)!.path;

export function planOf(form: PlanForm, gated: boolean): { plan: RolloutPlan; problems: Problems } {
  const problems: Problems = new Map();
  if (!form.model) problems.set("model", "choose a model");
  if (!form.version) problems.set("version", "choose a release");
  const body: Record<string, unknown> = { model: form.model, version: form.version, policy: {} };
  for (const { key, path, kind, section } of planFields) {
    const text = (form.texts[key] ?? "").trim();
    if (text === "" || (section === "gate" && !gated)) continue;
    const read = readField(kind, text);
    if ("problem" in read) problems.set(path, read.problem);
    else put(body, path, read.value);
  }
  for (const [one, other] of couples) {
    const empty = [one, other].filter((key) => (form.texts[key] ?? "").trim() === "");
    if (empty.length === 1) problems.set(pathOf(empty[0]!), `needed together with “${planFields.find((f) => f.key === (empty[0] === one ? other : one))!.label}”`);
  }
  if (form.days.length > 0 && !(form.texts["from"] || form.texts["to"])) problems.set("policy.window.from", "the days need a time of day");
  const plan = body as unknown as RolloutPlan;
  if (plan.policy.window && form.days.length > 0 && form.days.length < weekdays.length) plan.policy.window.days = form.days;
  // Not one failure allowed would leave the percentage without a meaning.
  if (plan.policy.failures_percent_max !== undefined && plan.policy.failures_max === 0) delete plan.policy.failures_max;
  const rows: PhaseRow[] = [...form.phases, { kind: "percent", size: "100", soak: form.lastSoak }];
  plan.policy.phases = rows.map((row, i) => phaseBody(row, `policy.phases[${i}]`, problems));
  if (gated) plan.policy.gate ??= {};
  if (gated && form.phases.length === 0) problems.set("policy.phases", "a live gate needs canaries: a phase before the last one");
  if (form.lift) plan.lift_quarantine = true;
  return { plan, problems };
}

// Where a problem of the server can be shown.
export function placesOf(form: PlanForm): string[] {
  const phases = [...form.phases, undefined].flatMap((row, i) => [`policy.phases[${i}].${row?.kind ?? "percent"}`, `policy.phases[${i}].soak_s`, `policy.phases[${i}]`]);
  return ["model", "version", ...planFields.map((one) => one.path), ...phases, "policy.phases", "policy.window", "policy.gate"];
}
