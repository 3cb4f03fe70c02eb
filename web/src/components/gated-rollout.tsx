// A rollout with a live gate waits for the gate's verdict too: shown one after the other the page would jump.
import type { Rollout, VerdictRecord } from "../api/types";
import { armsOf } from "../state/gate";
import { useResource } from "../state/resource";
import { rolloutHref } from "../state/router";
import { LiveGate } from "./live-gate";
import { RolloutCards } from "./rollout-cards";

export function GatedRollout({ rollout }: { rollout: Rollout }) {
  const topics = [`rollout:${rollout.id}`, ...(rollout.state === "running" ? [`gate:${rollout.id}`] : [])];
  const verdict = useResource<VerdictRecord>(`${rolloutHref(rollout.id)}/verdict`, topics);
  if (verdict.value === undefined && !verdict.problem) return <p class="loading" role="status">Loading…</p>;
  return <RolloutCards rollout={rollout} gate={<LiveGate rollout={rollout} verdict={verdict} />} arms={armsOf(verdict.value)} />;
}
