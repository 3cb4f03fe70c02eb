// A new rollout: the form, the dry run, and the question that says what will happen. Its address is the form.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { List } from "../api/types";
import { Command } from "../components/copy";
import { DryRunCard } from "../components/dry-run";
import { Loaded, ProblemNote } from "../components/notes";
import { PlanFields, type ModelSummary } from "../components/plan-form";
import { usePlanForm, useMatching, usePlanning, type Asked } from "../state/new-rollout";
import { planOf, type PlanForm } from "../state/plan";
import { createLine, policyToml } from "../state/plan-toml";
import { planWords } from "../state/plan-words";
import { useResource } from "../state/resource";
import { go, rolloutHref, useTitle } from "../state/router";
import { mayCreate } from "../state/session";

function Terminal({ form, gated }: { form: PlanForm; gated: boolean }) {
  const { plan, problems } = planOf(form, gated);
  return (
    <details class="more">
      <summary>The same from a terminal</summary>
      {problems.size > 0 ? <p class="dim">Something above is not filled in yet.</p> : (
        <>
          <p class="dim">rollout.toml</p>
          <pre class="toml">{policyToml(plan)}</pre>
          <Command line={createLine(plan)} />
        </>
      )}
    </details>
  );
}

// Asks with the numbers of a dry run that was made for this very plan.
function Question({ asked, create, close }: { asked: Asked; create: () => Promise<void>; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const confirm = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    await create();
    setBusy(false);
  };
  return (
    <dialog ref={dialog} class="dialog-wide" aria-labelledby={`${id}-question`} aria-describedby={`${id}-what`} onClose={close}>
      <form onSubmit={(event) => void confirm(event)}>
        <h2 id={`${id}-question`}>Create this rollout?</h2>
        <ul id={`${id}-what`} class="outcome">{planWords(asked.plan, asked.result, Date.now()).map((sentence) => <li key={sentence}>{sentence}</li>)}</ul>
        <div class="dialog-actions">
          <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="submit" class="primary" disabled={busy}>{busy ? "Working…" : "Create rollout"}</button>
        </div>
      </form>
    </dialog>
  );
}

// Brings what is wrong into view, and says it to those who do not see it.
function useFocusOnProblem(problems: Map<string, string>) {
  const ref = useRef<HTMLFormElement>(null);
  useEffect(() => {
    if (problems.size > 0) ref.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [problems]);
  return ref;
}

function Planner({ models }: { models: ModelSummary[] }) {
  const [form, change] = usePlanForm();
  const only = models.length === 1 ? models[0]!.model : "";
  const whole = form.model ? form : { ...form, model: only };
  const current = models.find((one) => one.model === whole.model)?.current;
  const gated = whole.gate === "" ? Boolean(current) : whole.gate === "on";
  const allowed = mayCreate();
  const matching = useMatching(whole, whole.texts["selector"] ?? "", allowed);
  const planning = usePlanning(whole, gated);
  const [asking, setAsking] = useState<Asked>();
  const ref = useFocusOnProblem(planning.problems);
  const edit = (part: Partial<PlanForm>) => {
    planning.forget();
    change(part.version !== undefined && !form.model ? { model: only, ...part } : part);
  };
  const ask = async (event: Event) => {
    event.preventDefault();
    setAsking(await planning.dryRun());
  };
  const create = async () => {
    try {
      const made = await planning.create(asking!.plan);
      go(rolloutHref(made.id));
    } catch {
      setAsking(undefined); // what is wrong stands at its field now
    }
  };
  const locked = !allowed || planning.busy;
  const why = allowed ? undefined : "This needs the role publisher or operator";
  return (
    <>
      <form ref={ref} class="plan" aria-label="New rollout" noValidate onSubmit={(event) => void ask(event)}>
        <PlanFields form={whole} models={models} gated={gated} matching={matching} problems={planning.problems} change={edit} />
        {planning.problem && <ProblemNote problem={planning.problem} />}
        <div class="plan-actions">
          <button type="button" disabled={locked} title={why} onClick={() => void planning.dryRun()}>Dry run</button>
          <button type="submit" class="primary" disabled={locked} title={why}>Create rollout</button>
          {why && <span class="dim">{why}.</span>}
          {planning.problems.size > 0 && <span class="field-problem" role="status">{planning.problems.size === 1 ? "One field needs another value." : `${planning.problems.size} fields need other values.`}</span>}
        </div>
      </form>
      {planning.asked && <DryRunCard plan={planning.asked.plan} result={planning.asked.result} />}
      <Terminal form={whole} gated={gated} />
      {asking && <Question asked={asking} create={create} close={() => setAsking(undefined)} />}
    </>
  );
}

export function NewRolloutScreen() {
  useTitle("New rollout");
  const models = useResource<List<ModelSummary>>("/models?limit=1000", ["releases"]);
  return (
    <div class="page">
      <p class="crumb"><a href="/rollouts">Rollouts</a></p>
      <h1>New rollout</h1>
      <Loaded resource={models}>{(list) => <Planner models={list.items} />}</Loaded>
    </div>
  );
}
