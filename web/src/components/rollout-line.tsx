import type { DeviceCounts, RolloutSummary } from "../api/types";
import { StackedBar } from "../charts/stacked-bar";
import { Status } from "./status";

const busy = ["offered", "downloading", "staged", "trial"];
const bad = ["rolled_back", "rejected", "failed", "refused", "timed_out"];

const sum = (counts: DeviceCounts, keys: string[]) => keys.reduce((total, key) => total + (counts[key] ?? 0), 0);

export function RolloutBar({ counts, what }: { counts: DeviceCounts; what: string }) {
  return (
    <StackedBar what={what} parts={[
      { label: "committed", value: counts["committed"] ?? 0, tone: "tone-good" },
      { label: "on their way", value: sum(counts, busy), tone: "tone-busy" },
      { label: "failed", value: sum(counts, bad), tone: "tone-bad" },
      { label: "waiting", value: counts["waiting"] ?? 0, tone: "tone-wait" },
    ]} />
  );
}

export function RolloutLine({ rollout }: { rollout: RolloutSummary }) {
  return (
    <div class="rollout-line">
      <p>
        <a href={`/rollouts/${encodeURIComponent(rollout.id)}`}>{rollout.name || `${rollout.model} ${rollout.version}`}</a>{" "}
        <Status state={rollout.state} /> <span class="dim">phase {rollout.phase + 1}</span> {rollout.reason && <code>{rollout.reason}</code>}
      </p>
      <RolloutBar counts={rollout.devices} what={`Devices of rollout ${rollout.id}`} />
    </div>
  );
}
