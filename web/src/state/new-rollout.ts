// What the form of a new rollout does: keeps itself in the address, counts who matches, asks for a dry run, creates.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../api/client";
import type { DryRun, Problem, Rollout, RolloutPlan } from "../api/types";
import { formOf, placesOf, planOf, queryOf, type PlanForm } from "./plan";
import { fieldOf, placeOf } from "./problem-field";
import { location, replaceQuery } from "./router";

export const typingMs = 300;

// The form is the address: what is typed goes there when the typing rests, and back and links come back to it.
export function usePlanForm(): [PlanForm, (part: Partial<PlanForm>) => void] {
  const address = location.value.query.toString();
  const [form, setForm] = useState(() => formOf(location.value.query));
  const written = useRef(address);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    if (address === written.current) return;
    clearTimeout(timer.current);
    written.current = address;
    setForm(formOf(location.value.query));
  }, [address]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (part: Partial<PlanForm>) => setForm((before) => {
    const after = { ...before, ...part };
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      written.current = queryOf(after).toString();
      replaceQuery(queryOf(after));
    }, typingMs);
    return after;
  });
  return [form, change];
}

const dryRunOf = (plan: RolloutPlan) => api.post<DryRun>("/rollouts?dry_run=true", plan);

export interface Matching {
  devices: number | undefined;
  problem: string | undefined; // of the selector
  why?: string; // no number, for a reason that is not the selector's
}

// Who matches the selector, asked when the typing rests.
export function useMatching({ model, version }: PlanForm, selector: string, allowed: boolean): Matching {
  const [found, setFound] = useState<Matching>({ devices: undefined, problem: undefined });
  useEffect(() => {
    let over = false;
    if (!model || !version || !selector.trim() || !allowed) {
      setFound({ devices: undefined, problem: undefined });
      return undefined;
    }
    const ask = async () => {
      try {
        const { selected } = await dryRunOf({ model, version, selector: selector.trim(), lift_quarantine: true, policy: {} });
        if (!over) setFound({ devices: selected, problem: undefined });
      } catch (error) {
        const { path, text } = fieldOf(problemOf(error));
        if (!over) setFound(path === "selector" ? { devices: undefined, problem: text } : { devices: undefined, problem: undefined, why: problemOf(error).detail });
      }
    };
    const timer = setTimeout(() => void ask(), typingMs);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [model, version, selector, allowed]);
  return found;
}

export interface Asked {
  plan: RolloutPlan;
  result: DryRun;
}

export interface Planning {
  problems: Map<string, string>;
  problem: Problem | undefined; // what stands at no field
  busy: boolean;
  asked: Asked | undefined; // the last dry run
  dryRun: () => Promise<Asked | undefined>;
  create: (plan: RolloutPlan) => Promise<Rollout>;
  forget: () => void; // the form has changed: what was said of it no longer holds
}

export function usePlanning(form: PlanForm, gated: boolean): Planning {
  const [problems, setProblems] = useState(new Map<string, string>());
  const [problem, setProblem] = useState<Problem>();
  const [asked, setAsked] = useState<Asked>();
  const [busy, setBusy] = useState(false);
  const latest = useRef({ form, gated });
  latest.current = { form, gated };

  const refused = (error: unknown) => {
    const found = problemOf(error);
    const { path, text } = fieldOf(found);
    const place = path && placeOf(path, placesOf(latest.current.form));
    if (place) setProblems(new Map([[place, text]]));
    else if (found.code === "release_quarantined") setProblems(new Map([["lift_quarantine", found.detail]]));
    else setProblem(found);
  };
  const forget = () => {
    setProblems((before) => (before.size > 0 ? new Map() : before));
    setProblem(undefined);
    setAsked(undefined);
  };
  const dryRun = async () => {
    forget();
    const { plan, problems: own } = planOf(latest.current.form, latest.current.gated);
    if (own.size > 0) {
      setProblems(own);
      return undefined;
    }
    setBusy(true);
    try {
      const answer = { plan, result: await dryRunOf(plan) };
      setAsked(answer);
      return answer;
    } catch (error) {
      refused(error);
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  const create = async (plan: RolloutPlan) => {
    try {
      return await api.post<Rollout>("/rollouts", plan);
    } catch (error) {
      refused(error);
      throw error;
    }
  };
  return { problems, problem, busy, asked, dryRun, create, forget };
}
