// What a person may do to a rollout, and what each of it means for whom, in the numbers of this moment.
import { useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { api, ApiError } from "../api/client";
import type { Rollout } from "../api/types";
import { count, plural } from "../state/format";
import { actionLabels, changesBetween, offeredActions, onTheirWay, retryable, settledAgainst, tookIt, type Action } from "../state/rollout-actions";
import { rolloutHref } from "../state/router";
import { may, session } from "../state/session";
import { ConfirmButton } from "./confirm";

const before = ({ from_version }: Rollout) => from_version || "what they ran before";

// What an action means for those that wait, are on their way and are done.
function Outcome({ rollout, waiting }: { rollout: Rollout; waiting: string }) {
  return (
    <ul class="outcome">
      <li><strong>{count(rollout.devices["waiting"] ?? 0)} waiting:</strong> {waiting}</li>
      <li><strong>{count(onTheirWay(rollout.devices))} on their way:</strong> finish what they began</li>
      <li><strong>{count(tookIt(rollout.devices))} committed:</strong> keep {rollout.version}</li>
    </ul>
  );
}

// As a rule the old release still lies in the other slot (docs/formats/device-api.md, `recalls`).
function RollbackOutcome({ rollout, rollout: { version, devices, state } }: { rollout: Rollout }) {
  const [taken, busy, waiting] = [tookIt(devices), onTheirWay(devices), devices["waiting"] ?? 0];
  return (
    <>
      <ul class="outcome">
        <li><strong>{plural(taken, "device")} that took {version}</strong> {taken === 1 ? "goes" : "go"} back to {before(rollout)}, at once and without a download where the other slot still holds it</li>
        {busy > 0 && <li><strong>{count(busy)} on {busy === 1 ? "its" : "their"} way</strong> {busy === 1 ? "is" : "are"} ordered back too, as soon as {busy === 1 ? "it asks" : "they ask"}</li>}
        <li><strong>{count(waiting)} waiting</strong> {waiting === 1 ? "keeps" : "keep"} {before(rollout)}{state === "done" && ", and late joiners do not get it either"}</li>
        <li><strong>{version} is quarantined:</strong> it is offered to nobody until a new rollout names it</li>
      </ul>
      <p>A device with nothing to go back to goes on with what it has. This cannot be undone.</p>
    </>
  );
}

function PromoteOutcome({ rollout }: { rollout: Rollout }) {
  const next = rollout.phases[rollout.phase + 1];
  const more = next ? Math.max(0, next.devices - (rollout.phases[rollout.phase]?.devices ?? 0)) : 0;
  return (
    <>
      <p>{next ? <>The rest of phase {rollout.phase + 1} is skipped, its soak too: <strong>{plural(more, "device")}</strong> of phase {rollout.phase + 2} are offered {rollout.version} now.</> : "The rest of the last phase's soak is skipped."} Failures already counted stay counted.</p>
      {rollout.reason === "rollout.success" && <p>Fewer of this phase's devices run {rollout.version} than the policy asks for. A person who promotes now takes them for enough.</p>}
      {rollout.gate && !rollout.gate.passed && <p><strong>The live gate has not passed.</strong> A person who promotes now takes its place.</p>}
    </>
  );
}

function RetryOutcome({ rollout: { devices, version, state, failures } }: { rollout: Rollout }) {
  const [again, against] = [retryable(devices), settledAgainst(devices)];
  return (
    <>
      <ul class="outcome">
        <li><strong>{plural(again, "device")}</strong> that did not answer or could not install it: offered {version} once more, in {again === 1 ? "its" : "their"} phase</li>
        {against > 0 && <li><strong>{count(against)} that tried or judged it and decided against it:</strong> not asked again, they would refuse</li>}
        {state === "failed" && <li><strong>The rollout runs again</strong>, as long as no more failures remain than are allowed, and goes on with {plural(devices["waiting"] ?? 0, "waiting device")}</li>}
      </ul>
      {failures.length > 0 && <p class="dim">What has failed so far: {failures.map((one) => one.reason).join(", ")}. Has the cause gone?</p>}
    </>
  );
}

const someone = (names: string[]) => names.join(", ");

function ApproveOutcome({ rollout, rollout: { approvals = [], approvals_needed = 0, starts_ms = 0, version, devices } }: { rollout: Rollout }) {
  const left = approvals_needed - approvals.length - 1;
  return (
    <p>
      {left > 0 ? <>Yours is one of {plural(approvals_needed, "approval")}; {plural(left, "more is", "more are")} needed before anything happens.</>
        : <>Yours is the last one needed: {starts_ms > Date.now() ? "it starts at its time" : <><strong>it starts at once</strong></>} and offers {version} to {plural(devices["selected"] ?? 0, "device")}, phase by phase, in place of {before(rollout)}.</>}
      {approvals.length > 0 && <> Approved so far by {someone(approvals.map((one) => one.by))}.</>}
    </p>
  );
}

interface Asked {
  question: string;
  danger?: boolean;
  what: ComponentChildren;
}

function asked(action: Action, rollout: Rollout): Asked {
  const { version } = rollout;
  switch (action) {
    case "approve": return { question: `Approve ${version}?`, what: <ApproveOutcome rollout={rollout} /> };
    case "deny": return { question: `Deny ${version}?`, danger: true, what: <p>It ends here: no device was offered {version}, and none will be. A new rollout is needed to try again. {rollout.created_by} sees your reason.</p> };
    case "pause": return { question: "Pause this rollout?", what: <Outcome rollout={rollout} waiting="stay on the old release until you resume" /> };
    case "resume": return { question: "Resume this rollout?", what: <Outcome rollout={rollout} waiting={`will be offered ${version}, phase by phase`} /> };
    case "promote": return { question: "Go to the next phase now?", what: <PromoteOutcome rollout={rollout} /> };
    case "retry": return { question: "Offer it again to those that failed?", what: <RetryOutcome rollout={rollout} /> };
    case "abort": return { question: "Abort this rollout?", danger: true, what: <><Outcome rollout={rollout} waiting="stay on the old release for good" /><p>This cannot be undone: a new rollout is needed.</p></> };
    case "rollback": return { question: `Roll ${version} back?`, danger: true, what: <RollbackOutcome rollout={rollout} /> };
  }
}

// Why this person cannot do it; undefined when they can.
function lacking(action: Action, { created_by, approvals = [] }: Rollout): string | undefined {
  if (!may("operator")) return "This needs the role operator";
  if (action === "approve" && session.value?.name === created_by) return "You made this rollout: somebody else must approve it";
  if (action === "approve" && approvals.some((one) => one.by === session.value?.name)) return "You have approved it: one more person is needed";
  return undefined;
}

interface Missed {
  action: Action;
  changes: string[];
}

const changed = (changes: string[]) => (changes.length > 0 ? changes.join("; ") : "it has moved on by itself");

export function RolloutActions({ rollout, reload }: { rollout: Rollout; reload: () => void }) {
  const [missed, setMissed] = useState<Missed>();
  // Somebody else was faster. Say what they did, show what is there now, and let the person ask again.
  const explained = async (action: Action, error: ApiError): Promise<never> => {
    const now = await api.get<Rollout>(rolloutHref(rollout.id)).catch(() => undefined);
    reload();
    if (!now) throw error;
    const changes = changesBetween(rollout, now);
    if (!offeredActions(now).includes(action)) setMissed({ action, changes });
    throw new ApiError({ ...error.problem, title: "Someone else changed it", detail: `Since you looked: ${changed(changes)}. Nothing was done. What is said above holds for what is there now: confirm again if it is still right.` });
  };
  const act = (action: Action) => async (reason: string) => {
    setMissed(undefined);
    try {
      await api.post(`${rolloutHref(rollout.id)}:${action}`, reason ? { reason } : {}, { "If-Match": `"${rollout.revision}"` });
    } catch (error) {
      if (error instanceof ApiError && (error.problem.status === 412 || error.problem.status === 409)) await explained(action, error);
      throw error;
    }
    reload();
  };
  const actions = offeredActions(rollout);
  return (
    <>
      {missed && (
        <div class="note note-warn" role="alert">
          <p><strong>Someone else changed it:</strong> {changed(missed.changes)}. “{actionLabels[missed.action]}” was not done.</p>
          <button type="button" class="small" onClick={() => setMissed(undefined)}>Close</button>
        </div>
      )}
      {actions.length > 0 && (
        <div class="actions">
          {actions.map((action) => {
            const { question, danger, what } = asked(action, rollout);
            const why = lacking(action, rollout);
            return (
              <ConfirmButton key={action} label={actionLabels[action]} question={question} act={act(action)} asksReason line={`ferry rollout ${action} ${rollout.id}`} {...(danger && { danger })} {...(why && { unavailable: why })}>
                {what}
              </ConfirmButton>
            );
          })}
          {!may("operator") && <span class="dim">These need the role operator.</span>}
        </div>
      )}
    </>
  );
}
