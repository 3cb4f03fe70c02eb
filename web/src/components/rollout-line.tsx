import type { DeviceCounts, RolloutSummary } from "../api/types";
import { StackedBar } from "../charts/stacked-bar";
import { rolloutHref } from "../state/router";
import { Reason } from "./reason";
import { wordOf } from "../state/words";
import { Status, toneOf } from "./status";

// In the order in which a device goes through them; the bar is read from left to right.
export const deviceStates = ["committed", "trial", "staged", "downloading", "offered", "rolled_back", "rejected", "failed", "refused", "timed_out", "waiting"];

// `hrefOf`: where the devices in a state are listed.
export function RolloutBar({ counts, what, hrefOf }: { counts: DeviceCounts; what: string; hrefOf?: (state: string) => string }) {
  return (
    <StackedBar what={what} parts={deviceStates.map((state) => ({
      label: wordOf(state), value: counts[state] ?? 0, tone: state === "waiting" ? "tone-wait" : `tone-${toneOf(state)}`, ...(hrefOf && { href: hrefOf(state) }),
    }))} />
  );
}

export const rolloutName = (r: RolloutSummary) => r.name || `${r.model} ${r.from_version ? `${r.from_version} → ` : ""}${r.version}`;

export function RolloutLine({ rollout }: { rollout: RolloutSummary }) {
  return (
    <div class="rollout-line">
      <p>
        <a href={rolloutHref(rollout.id)}>{rolloutName(rollout)}</a>{" "}
        <Status state={rollout.state} /> <span class="dim">phase {rollout.phase + 1}</span> {rollout.reason && <Reason code={rollout.reason} />}
      </p>
      <RolloutBar counts={rollout.devices} what={`Devices of rollout ${rolloutName(rollout)}`} />
    </div>
  );
}
