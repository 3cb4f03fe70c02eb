// What a person may do to a rollout, and what each of it means for whom.
import { api, ApiError } from "../api/client";
import type { Rollout } from "../api/types";
import { count, plural } from "../state/format";
import { rolloutHref } from "../state/router";
import { may } from "../state/session";
import { ConfirmButton } from "./confirm";

const onTheirWay = ["offered", "downloading", "staged", "trial"];

const busyIn = (rollout: Rollout) => onTheirWay.reduce((sum, state) => sum + (rollout.devices[state] ?? 0), 0);

// What an action means for whom, before it is done.
function Outcome({ rollout, waiting }: { rollout: Rollout; waiting: string }) {
  const busy = busyIn(rollout);
  return (
    <ul class="outcome">
      <li><strong>{count(rollout.devices["waiting"] ?? 0)} waiting:</strong> {waiting}</li>
      <li><strong>{count(busy)} on their way:</strong> finish what they began</li>
      <li><strong>{count(rollout.devices["committed"] ?? 0)} committed:</strong> keep {rollout.version}</li>
    </ul>
  );
}

// As a rule the old release still lies in the other slot (docs/formats/device-api.md, `recalls`).
function RollbackOutcome({ rollout: { version, from_version, devices, state, id }, rollout }: { rollout: Rollout }) {
  const [taken, busy] = [devices["committed"] ?? 0, busyIn(rollout)];
  const before = from_version || "what it ran before";
  return (
    <>
      <ul class="outcome">
        <li><strong>{plural(taken, "device")} with {version}:</strong> ordered back to {before}, at once and without a download where the other slot still holds it</li>
        <li><strong>{count(busy)} on their way:</strong> ordered back too, as soon as they ask</li>
        <li><strong>{count(devices["waiting"] ?? 0)} waiting:</strong> keep what they have{state === "done" && ", and late joiners do not get it either"}</li>
        <li><strong>{version} is quarantined:</strong> it is offered to nobody until a new rollout names it</li>
      </ul>
      <p>A device with nothing to go back to goes on with what it has. This cannot be undone. The same from a terminal: <code>ferry rollout rollback {id}</code></p>
    </>
  );
}

export function RolloutActions({ rollout, reload }: { rollout: Rollout; reload: () => void }) {
  const act = (action: string) => async (reason: string) => {
    try {
      await api.post(`${rolloutHref(rollout.id)}:${action}`, reason ? { reason } : {}, { "If-Match": `"${rollout.revision}"` });
    } catch (error) {
      // Somebody else was faster. Show what is there now; the question may have another answer.
      if (error instanceof ApiError && (error.problem.status === 412 || error.problem.status === 409)) reload();
      throw error;
    }
    reload();
  };
  const open = rollout.state === "running" || rollout.state === "paused";
  if (!open && rollout.recalled) return null;
  const rights = may("operator") ? {} : { unavailable: "This needs the role operator" };
  const common = { asksReason: true, ...rights };
  return (
    <div class="actions">
      {rollout.state === "running" && (
        <ConfirmButton key="pause" label="Pause" question="Pause this rollout?" act={act("pause")} {...common}>
          <Outcome rollout={rollout} waiting="stay on the old release until you resume" />
        </ConfirmButton>
      )}
      {rollout.state === "paused" && (
        <ConfirmButton key="resume" label="Resume" question="Resume this rollout?" act={act("resume")} {...common}>
          <Outcome rollout={rollout} waiting={`will be offered ${rollout.version}, phase by phase`} />
        </ConfirmButton>
      )}
      {rollout.state === "running" && (
        <ConfirmButton key="promote" label="Promote now" question="Go to the next phase now?" act={act("promote")} {...common}>
          <p>The rest of the present phase's soak time is skipped. Failures already counted stay counted.</p>
        </ConfirmButton>
      )}
      {open && (
        <ConfirmButton key="abort" label="Abort" danger question="Abort this rollout?" act={act("abort")} {...common}>
          <Outcome rollout={rollout} waiting="stay on the old release for good" />
          <p>This cannot be undone: a new rollout is needed.</p>
        </ConfirmButton>
      )}
      {!rollout.recalled && (
        <ConfirmButton key="rollback" label="Roll back" danger question={`Roll ${rollout.version} back?`} act={act("rollback")} {...common}>
          <RollbackOutcome rollout={rollout} />
        </ConfirmButton>
      )}
      {!may("operator") && <span class="dim">These need the role operator.</span>}
    </div>
  );
}
