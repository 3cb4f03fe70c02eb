// The phases of a new rollout as a list: how much each takes in, and for how long it is watched. The last one is everybody.
import { useRef } from "preact/hooks";
import { phaseKinds, type PhaseKind, type PhaseRow } from "../state/plan";
import { count } from "../state/format";
import { valueOf } from "./field";

export const phasesMax = 20; // server/rollout/rollout.hpp

const kindWords: Record<PhaseKind, string> = { percent: "percent", devices: "devices", selector: "selector" };

interface Props {
  phases: PhaseRow[];
  lastSoak: string;
  matching: number | undefined; // devices that the selector matches, when known
  problems: Map<string, string>;
  set: (phases: PhaseRow[]) => void;
  setLastSoak: (soak: string) => void;
}

// How many devices that is: the same rounding as the server's.
function inDevices({ kind, size }: PhaseRow, matching: number | undefined): string {
  if (matching === undefined || kind === "selector" || !/^\d{1,9}$/.test(size.trim())) return "";
  const number = Number(size);
  return `${count(kind === "percent" ? Math.ceil((Math.min(number, 100) * matching) / 100) : Math.min(number, matching))} of ${count(matching)}`;
}

function Soak({ id, name, value, problem, set }: { id: string; name: string; value: string; problem: string | undefined; set: (value: string) => void }) {
  return (
    <>
      <label for={`${id}-soak`} class="dim">then soak<span class="hidden"> of {name}</span></label>
      <input id={`${id}-soak`} class="phase-soak" value={value} autocomplete="off" aria-describedby={problem ? `${id}-problem` : "phases-hint"} {...(problem && { "aria-invalid": "true" as const })} onInput={(event) => set(valueOf(event))} />
    </>
  );
}

export function PhaseEditor({ phases, lastSoak, matching, problems, set, setLastSoak }: Props) {
  const add = useRef<HTMLButtonElement>(null);
  const change = (at: number, part: Partial<PhaseRow>) => set(phases.map((row, i) => (i === at ? { ...row, ...part } : row)));
  const remove = (at: number) => {
    set(phases.filter((_, i) => i !== at));
    add.current?.focus(); // the button that was pressed is gone
  };
  const wrong = (i: number, kind: string) => [`policy.phases[${i}].${kind}`, `policy.phases[${i}].soak_s`, `policy.phases[${i}]`].map((path) => problems.get(path)).find((text) => text !== undefined);
  const last = phases.length;
  return (
    <fieldset class="plan-section">
      <legend>Phases</legend>
      <p id="phases-hint" class="field-hint">Each takes in the devices before it too. Soak: how long to wait and watch before the next, for example 90s, 15m, 2h.</p>
      <ol class="phase-rows">
        {phases.map((row, i) => {
          const problem = wrong(i, row.kind);
          const id = `phase-${i}`;
          return (
            <li key={i} class="phase-row">
              <span class="phase-name">Phase {i + 1}</span>
              <label for={id} class="hidden">Size of phase {i + 1}</label>
              <input id={id} class={row.kind === "selector" ? "phase-size phase-selector" : "phase-size"} value={row.size} autocomplete="off" aria-describedby={problem ? `${id}-problem` : "phases-hint"} {...(problem && { "aria-invalid": "true" as const })} onInput={(event) => change(i, { size: valueOf(event) })} />
              <label for={`${id}-kind`} class="hidden">Phase {i + 1} is measured in</label>
              <select id={`${id}-kind`} value={row.kind} onChange={(event) => change(i, { kind: valueOf(event) as PhaseKind })}>
                {phaseKinds.map((kind) => <option key={kind} value={kind}>{kindWords[kind]}</option>)}
              </select>
              <Soak id={id} name={`phase ${i + 1}`} value={row.soak} problem={problem} set={(soak) => change(i, { soak })} />
              <span class="dim phase-devices">{inDevices(row, matching)}</span>
              <button type="button" class="small" aria-label={`Remove phase ${i + 1}`} onClick={() => remove(i)}>Remove</button>
              {problem && <p id={`${id}-problem`} class="field-problem" role="alert">{problem}</p>}
            </li>
          );
        })}
        <li class="phase-row">
          <span class="phase-name">Phase {last + 1}</span>
          <span class="phase-everybody">everybody</span>
          <Soak id="phase-last" name={`phase ${last + 1}`} value={lastSoak} problem={wrong(last, "percent")} set={setLastSoak} />
          {wrong(last, "percent") && <p id="phase-last-problem" class="field-problem" role="alert">{wrong(last, "percent")}</p>}
        </li>
      </ol>
      {problems.get("policy.phases") && <p class="field-problem" role="alert">{problems.get("policy.phases")}</p>}
      <button ref={add} type="button" class="small" disabled={phases.length + 1 >= phasesMax} onClick={() => set([...phases, { kind: "percent", size: "", soak: "10m" }])}>Add phase</button>
    </fieldset>
  );
}
