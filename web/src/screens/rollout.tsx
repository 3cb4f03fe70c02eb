// One rollout: where it stands and who must act, its progress, its live gate, its phases, every decision, every device.
import type { Rollout } from "../api/types";
import { Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { RolloutActions } from "../components/rollout-actions";
import { EarlyGate, RolloutCards } from "../components/rollout-cards";
import { rolloutName } from "../components/rollout-line";
import { RolloutStanding } from "../components/rollout-standing";
import { Status } from "../components/status";
import { When } from "../components/when";
import type { Arm } from "../state/gate";
import { lazy } from "../state/lazy";
import { rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

const GatedRollout = lazy(() => import("../components/gated-rollout").then((all) => all.GatedRollout), { part: true });

// Before its first look a gate has no verdict to ask for.
const looked = ({ gate }: Rollout) => Boolean(gate?.reason);

const noArms = new Map<string, Arm>();

export function RolloutScreen({ id }: { id: string }) {
  const rollout = useResource<Rollout>(rolloutHref(id), [`rollout:${id}`]);
  const known = rollout.value;
  useTitle(known ? rolloutName(known) : id);
  return (
    <div class="page">
      <p class="crumb"><a href="/rollouts">Rollouts</a></p>
      <div class="title">
        <h1>{known ? rolloutName(known) : id}</h1>
        {known && (
          <>
            <Status state={known.state} /> {known.reason && <Reason code={known.reason} />}
            <span class="dim">made <When ms={known.created_ms} /> by {known.created_by}{known.ended_ms > 0 && <>, ended <When ms={known.ended_ms} /></>}</span>
          </>
        )}
      </div>
      <Loaded resource={rollout}>
        {(r) => (
          <>
            <RolloutActions rollout={r} reload={rollout.reload} />
            <RolloutStanding rollout={r} />
            {looked(r) ? <GatedRollout rollout={r} /> : <RolloutCards rollout={r} arms={noArms} {...(r.gate && { gate: <EarlyGate rollout={r} /> })} />}
          </>
        )}
      </Loaded>
    </div>
  );
}
