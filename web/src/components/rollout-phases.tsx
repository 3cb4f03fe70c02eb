// The phases of a rollout: what each takes in, how far it is, and why devices failed.
import type { Rollout } from "../api/types";
import { absolute, count, plural, seconds } from "../state/format";
import { phaseSizes } from "../state/phases";
import { deviceHref } from "../state/router";
import { Empty } from "./notes";
import { Reason } from "./reason";
import { RolloutBar } from "./rollout-line";
import { Status } from "./status";

// Of a gated rollout the first phase are the canaries; their controls come with the last one.
function armsIn({ gate, phases, from_version }: Rollout, phase: number): string {
  if (!gate || gate.pairs === 0) return "";
  if (phase === 0) return `, ${plural(gate.pairs, "canary", "canaries")}`;
  return phase === phases.length - 1 ? `, with the ${plural(gate.pairs, "control")}` : `, the controls keep ${from_version || "the old release"}`;
}

export function Phases({ rollout }: { rollout: Rollout }) {
  const sizes = phaseSizes(rollout);
  return (
    <ol class="phases">
      {rollout.phases.map((phase, i) => (
        <li key={i} class={`phase phase-${phase.state}`} aria-current={i === rollout.phase ? "step" : undefined}>
          <p>
            <strong>Phase {i + 1}: {sizes[i]}</strong> <Status state={phase.state} />{" "}
            <span class="dim">
              {plural(phase.devices, "device")}{armsIn(rollout, i)}{phase.soak_s > 0 && `, soak ${seconds(phase.soak_s)}`}
              {phase.state === "soaking" && rollout.soak_until_ms > 0 && ` until ${absolute(rollout.soak_until_ms).slice(11)}`}
            </span>
          </p>
          <RolloutBar counts={phase.counts} what={`Devices up to phase ${i + 1}`} />
        </li>
      ))}
    </ol>
  );
}

export function Failures({ rollout }: { rollout: Rollout }) {
  if (rollout.failures.length === 0) return <Empty>No device has failed.</Empty>;
  return (
    <ul class="plain-list">
      {rollout.failures.map((f) => (
        <li key={f.reason}>
          <Reason code={f.reason} /> <strong>{plural(f.count, "device")}</strong>
          {f.devices.map((d) => <a key={d} class="mono" href={deviceHref(d)}>{d}</a>)}
          {f.count > f.devices.length && <span class="dim">and {count(f.count - f.devices.length)} more</span>}
        </li>
      ))}
    </ul>
  );
}
