// The fields of a new rollout: what, for whom, in which phases, when it stops, when it may run, and how it is judged.
import type { List, ReleaseSummary } from "../api/types";
import { fieldsOf, weekdays, type Section } from "../state/plan-fields";
import type { PlanForm } from "../state/plan";
import { plural } from "../state/format";
import { useResource } from "../state/resource";
import type { Matching } from "../state/new-rollout";
import { FieldShell, TextField, valueOf } from "./field";
import { PhaseEditor } from "./phase-editor";

export interface ModelSummary {
  model: string;
  current: string;
}

interface Props {
  form: PlanForm;
  models: ModelSummary[];
  gated: boolean;
  matching: Matching;
  problems: Map<string, string>;
  change: (part: Partial<PlanForm>) => void;
}

function Fields({ section, form, problems, change, matching }: { section: Section } & Pick<Props, "form" | "problems" | "change"> & { matching?: Matching }) {
  return (
    <div class="fields">
      {fieldsOf(section).map((field) => (
        <TextField key={field.key} field={field} value={form.texts[field.key] ?? ""} set={(value) => change({ texts: { ...form.texts, [field.key]: value } })}
          problem={problems.get(field.path) ?? (field.key === "selector" ? matching?.problem : undefined)} />
      ))}
    </div>
  );
}

function What({ form, models, problems, change }: Props) {
  const releases = useResource<List<ReleaseSummary>>(`/releases?limit=1000&model=${encodeURIComponent(form.model)}`, ["releases"]);
  const offered = (releases.value?.items ?? []).filter((one) => one.model === form.model);
  const chosen = offered.find((one) => one.version === form.version);
  const names = [...new Set([...models.map((one) => one.model), ...(form.model ? [form.model] : [])])];
  const versions = [...new Set([...offered.map((one) => one.version), ...(form.version ? [form.version] : [])])];
  const quarantine = problems.get("lift_quarantine");
  return (
    <fieldset class="plan-section">
      <legend>Release</legend>
      <div class="fields">
        <FieldShell id="plan-model" label="Model" problem={problems.get("model")}>
          {(described) => (
            <select {...described} value={form.model} onChange={(event) => change({ model: valueOf(event), version: "", lift: false })}>
              <option value="">choose…</option>
              {names.map((name) => <option key={name} value={name}>{name}</option>)}
            </select>
          )}
        </FieldShell>
        <FieldShell id="plan-version" label="Release" problem={problems.get("version")} hint={chosen ? `${chosen.state.replace(/_/g, " ")}, on ${plural(chosen.devices.running, "device")}` : undefined}>
          {(described) => (
            <select {...described} value={form.version} disabled={!form.model} onChange={(event) => change({ version: valueOf(event), lift: false })}>
              <option value="">choose…</option>
              {versions.map((version) => <option key={version} value={version}>{version}{offered.find((one) => one.version === version)?.state === "quarantined" ? " (quarantined)" : ""}</option>)}
            </select>
          )}
        </FieldShell>
      </div>
      {(chosen?.state === "quarantined" || quarantine || form.lift) && (
        <div class="note note-warn">
          <p><strong>{form.version} is quarantined:</strong> {quarantine ?? "it failed in an earlier rollout."}</p>
          <span class="check">
            <input id="plan-lift" type="checkbox" checked={form.lift} onChange={(event) => change({ lift: (event.target as HTMLInputElement).checked })} />
            <label for="plan-lift">Lift the quarantine</label>
          </span>
        </div>
      )}
    </fieldset>
  );
}

function Window({ form, problems, change }: Props) {
  const toggle = (day: string) => change({ days: weekdays.filter((one) => (one === day) !== form.days.includes(one)) });
  return (
    <fieldset class="plan-section">
      <legend>Maintenance window</legend>
      <p class="field-hint">Only then is the release offered to a device, in the device's own time. Empty: at any time.</p>
      <div class="days" role="group" aria-label="Days; none chosen: every day">
        {weekdays.map((day) => (
          <span key={day} class="check">
            <input id={`day-${day}`} type="checkbox" checked={form.days.includes(day)} onChange={() => toggle(day)} />
            <label for={`day-${day}`}>{day}</label>
          </span>
        ))}
      </div>
      <Fields section="window" form={form} problems={problems} change={change} />
      {problems.get("policy.window") && <p class="field-problem" role="alert">{problems.get("policy.window")}</p>}
    </fieldset>
  );
}

function Gate({ form, models, gated, problems, change }: Props) {
  const current = models.find((one) => one.model === form.model)?.current;
  return (
    <fieldset class="plan-section">
      <legend>Live gate</legend>
      <span class="check">
        <input id="plan-gate" type="checkbox" checked={gated} aria-describedby="plan-gate-hint" onChange={(event) => change({ gate: (event.target as HTMLInputElement).checked ? "on" : "off" })} />
        <label for="plan-gate">Judge canaries against controls</label>
      </span>
      <p id="plan-gate-hint" class="field-hint">
        The first phase's devices are paired with devices that keep {current ? `${current}` : "the present release"}; the next phase waits for the verdict, and harm brings everybody back.
        {form.model && current === "" && " This model has no current release: there is nothing to compare with yet."}
      </p>
      {problems.get("policy.gate") && <p class="field-problem" role="alert">{problems.get("policy.gate")}</p>}
      {gated && <Fields section="gate" form={form} problems={problems} change={change} />}
    </fieldset>
  );
}

export function PlanFields(props: Props) {
  const { form, problems, change, matching } = props;
  return (
    <>
      <What {...props} />
      <fieldset class="plan-section">
        <legend>Devices</legend>
        <Fields section="who" form={form} problems={problems} change={change} matching={matching} />
        <p class="matching" role="status">{matching.problem ? <span class="dim">No device matches this</span> : matching.devices === undefined ? <span class="dim">{!form.version ? "Choose a release to see how many devices match" : matching.why ? `How many match is not known: ${matching.why}` : "Counting…"}</span> : <><strong>{plural(matching.devices, "device")}</strong> {matching.devices === 1 ? "matches" : "match"} now</>}</p>
      </fieldset>
      <PhaseEditor phases={form.phases} lastSoak={form.lastSoak} matching={matching.devices} problems={problems} set={(phases) => change({ phases })} setLastSoak={(lastSoak) => change({ lastSoak })} />
      <Gate {...props} />
      <fieldset class="plan-section"><legend>When it stops</legend><Fields section="failures" form={form} problems={problems} change={change} /></fieldset>
      <fieldset class="plan-section"><legend>Limits</legend><Fields section="pace" form={form} problems={problems} change={change} /></fieldset>
      <fieldset class="plan-section"><legend>When it starts</legend><Fields section="start" form={form} problems={problems} change={change} /></fieldset>
      <Window {...props} />
    </>
  );
}
