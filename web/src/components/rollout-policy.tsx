// What a rollout was asked to do: its release, who it is for, and the limits that it keeps.
import type { ComponentChildren } from "preact";
import type { Rollout } from "../api/types";
import { absolute, count, plural, seconds } from "../state/format";
import { releaseHref } from "../state/router";
import { Facts } from "./card";

const unlimited = 1_000_000; // failures_max_max of server/rollout/rollout_policy.hpp: then the percentage alone decides

type Fact = [string, ComponentChildren];

// Only what was asked for: a limit that is not set is none.
function limits({ policy: p, starts_ms = 0, approvals_needed = 0, approvals = [] }: Rollout): Fact[] {
  const facts: (Fact | false)[] = [
    typeof p.failures_percent_max === "number" && ["Failures allowed, in percent", `${count(p.failures_percent_max ?? 0)} % of at least ${count(p.executed_min ?? 1)}`],
    Boolean(p.success_percent_min) && ["Success needed", `${count(p.success_percent_min!)} % of a phase's devices`],
    Boolean(p.in_flight_max) && ["On their way at once", `at most ${count(p.in_flight_max!)}`],
    Boolean(p.site_budget) && ["Of one site at once", `at most ${count(p.site_budget!.devices_max)} with the same ${p.site_budget!.label}`],
    Boolean(p.window) && ["Maintenance window", `${p.window!.from} to ${p.window!.to}, ${p.window!.days ? p.window!.days.join(", ") : "every day"}, device time`],
    Boolean(p.penalty) && ["Left out after", `${plural(p.penalty!.failures, "failure")} within ${seconds(p.penalty!.within_s)}`],
    starts_ms > 0 && ["Starts", absolute(starts_ms)],
    approvals_needed > 0 && ["Approvals", `${count(approvals.length)} of ${count(approvals_needed)}${approvals.length > 0 ? `: ${approvals.map((one) => one.by).join(", ")}` : ""}`],
  ];
  return facts.filter((fact): fact is Fact => fact !== false);
}

export function RolloutPolicyFacts({ rollout: r }: { rollout: Rollout }) {
  return (
    <Facts items={[
      ["Release", <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a>],
      ["Replaces", r.from_version ? <a href={releaseHref(r.model, r.from_version)}>{r.model} {r.from_version}</a> : "nothing"],
      ["Selector", <span class="mono">{r.selector}</span>],
      ["Failures allowed", (r.policy.failures_max ?? 0) >= unlimited ? "any number" : count(r.policy.failures_max ?? 0)],
      ["Time per device", seconds(r.policy.device_timeout_s ?? 0)],
      ...limits(r),
      ["Id", <span class="mono">{r.id}</span>],
    ]} />
  );
}
