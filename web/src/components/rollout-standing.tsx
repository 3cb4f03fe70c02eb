// Where a rollout stands when it does not simply run: why, and who has to do what.
import type { ComponentChildren } from "preact";
import type { Rollout } from "../api/types";
import { absolute, count, plural } from "../state/format";
import { lastOf } from "../state/rollout-actions";
import { session } from "../state/session";
import { Reason } from "./reason";

// Said aloud when it changes: nothing in it may tick, as “a minute ago” does.
function Note({ tone, title, children }: { tone: "warn" | "plain" | "bad"; title: ComponentChildren; children?: ComponentChildren }) {
  return <div class={`note note-${tone} standing`} role="status"><p><strong>{title}</strong> {children}</p></div>;
}

function AwaitingApproval({ rollout: { approvals = [], approvals_needed = 1, created_by } }: { rollout: Rollout }) {
  const left = Math.max(0, approvals_needed - approvals.length);
  const mine = session.value?.name === created_by;
  return (
    <Note tone="warn" title={`Waiting for approval: ${count(approvals.length)} of ${count(approvals_needed)}.`}>
      {plural(left, "more person has", "more people have")} to approve it, with the role operator and not {created_by}, who made it. Until then nothing is offered.
      {mine && " You made it, so it is not for you to approve."}
      {approvals.map((one) => <span key={one.by}> {one.by} approved it at {absolute(one.at_ms)}.</span>)}
    </Note>
  );
}

// Who paused it, and what it takes to go on.
function Paused({ rollout }: { rollout: Rollout }) {
  const entry = lastOf(rollout, "pause");
  const who = entry?.by ? `by ${entry.by}` : "by the server";
  const next = "It goes on when somebody with the role operator resumes it; Abort leaves devices as they are, Roll back brings them back.";
  if (rollout.reason === "drift.world_changed") {
    return (
      <Note tone="warn" title="Paused: the world changed.">
        The inputs moved on canaries and controls alike, so this says nothing against {rollout.version}, and nothing for it: what CI measured may no longer hold for either release. <a href={`/telemetry?model=${encodeURIComponent(rollout.model)}#drift`}>Look at the drift</a>, then resume or roll back. {next}
      </Note>
    );
  }
  if (rollout.reason === "rollout.success") {
    return <Note tone="warn" title="Paused: too few devices of this phase run the release.">{entry?.detail && <>{entry.detail}. </>}Promote takes that for enough and goes on; Retry failed, then Resume, offers it again to those that could not install it. Resume alone would pause again.</Note>;
  }
  return <Note tone="warn" title={`Paused ${who}.`}>{entry?.detail && <>“{entry.detail}”. </>}{next}</Note>;
}

// A device that took the release counts as committed until it says that it is back.
function Recalled({ rollout: { devices, version, reason } }: { rollout: Rollout }) {
  const back = devices["rolled_back"] ?? 0;
  const all = back + (devices["committed"] ?? 0);
  return (
    <Note tone={back < all ? "warn" : "plain"} title={`Ordered back: ${count(back)} of ${plural(all, "device")} ${back === 1 ? "is" : "are"} back.`}>
      {version} is quarantined. {reason && <Reason code={reason} />}
    </Note>
  );
}

export function RolloutStanding({ rollout }: { rollout: Rollout }) {
  const { state, starts_ms = 0, version, devices } = rollout;
  if (rollout.recalled) return <Recalled rollout={rollout} />;
  if (state === "awaiting_approval") return <AwaitingApproval rollout={rollout} />;
  if (state === "paused") return <Paused rollout={rollout} />;
  if (state === "scheduled") return <Note tone="plain" title={`Scheduled: it starts ${absolute(starts_ms)}.`}>Until then nothing is offered. Nobody has to do anything.</Note>;
  if (state === "denied") {
    const entry = lastOf(rollout, "deny");
    return <Note tone="bad" title={`Denied${entry?.by ? ` by ${entry.by}` : ""}.`}>{entry?.detail && <>“{entry.detail}”. </>}No device was offered {version}. It ends here: a new rollout is needed to try again.</Note>;
  }
  if (state === "failed") return <Note tone="bad" title="Stopped.">{plural(devices["committed"] ?? 0, "device keeps", "devices keep")} {version}, nobody else is offered it. Roll back brings back those that took it.</Note>;
  return null;
}
