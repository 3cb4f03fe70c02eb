// What creating a rollout will do, in sentences, from the plan and what the server's dry run says of it.
import type { DryRun, RolloutPlan } from "../api/types";
import { absolute, count, plural, seconds } from "./format";
import { wavesOf } from "./phases";
import { isCode } from "./reasons";

export const pairsMin = 5; // docs/formats/verdict.md, pairs_min: below, no pair test can conclude

// Devices for which no variant is known to fit, by the reason; of a list that was cut only those that it shows.
export function unfit({ items }: DryRun): Map<string, number> {
  const found = new Map<string, number>();
  for (const { variant, reason } of items) if (variant === "" && reason !== "") found.set(reason, (found.get(reason) ?? 0) + 1);
  return found;
}

const canariesIn = ({ items }: DryRun) => items.filter((item) => item.arm === "canary").length;

function starts({ starts_at, approvals = 0 }: RolloutPlan["policy"], now: number): string | undefined {
  const at = starts_at ? Date.parse(starts_at) : NaN;
  const when = at > now ? `${absolute(at).slice(0, 16)} UTC` : "";
  const who = approvals > 0 ? `${plural(approvals, "person", "people")} other than you ${approvals === 1 ? "has" : "have"} approved it` : "";
  if (!when && !who) return undefined;
  return `Nothing is offered before ${[who, when].filter(Boolean).join(" and before ")}.`;
}

function failing({ failures_max, failures_percent_max, executed_min = 1, gate }: RolloutPlan["policy"]): string {
  const share = failures_percent_max === undefined || failures_percent_max === null ? "" : `more than ${count(failures_percent_max)} % of at least ${plural(executed_min, "device")} with an outcome failed`;
  const number = failures_max === undefined && share ? "" : (failures_max ?? 0) === 0 ? "one device fails" : `more than ${plural(failures_max!, "device")} failed`;
  return `When ${[number, share].filter(Boolean).join(" or ")}, nobody else is offered it; a device that failed goes on with what it had.${gate ? "" : " Without a live gate nothing else stops it."}`;
}

function gated(dryRun: DryRun, { gate }: RolloutPlan["policy"]): string | undefined {
  if (!gate) return undefined;
  const pairs = canariesIn(dryRun);
  const compared = pairs > 0 ? `${pairs === 1 ? "1 canary is" : `${count(pairs)} canaries are each`} compared with a control that keeps the old release` : "The first phase's devices are each compared with a control that keeps the old release";
  const few = pairs > 0 && pairs < pairsMin ? ` ${plural(pairs, "pair")} can prove nothing (${pairsMin} are needed): a person will have to decide.` : "";
  return `${compared}: the second phase waits until the live gate passes; if it finds harm, every device that took the release goes back.${few}`;
}

function limits({ in_flight_max = 0, site_budget, window }: RolloutPlan["policy"]): string | undefined {
  const parts = [
    in_flight_max > 0 && `at most ${plural(in_flight_max, "device")} at once`,
    site_budget && `at most ${count(site_budget.devices_max)} at once with the same ${site_budget.label}`,
    window && `only between ${window.from} and ${window.to} of each device's own time${window.days ? ` on ${window.days.join(", ")}` : ""}`,
  ].filter((part) => typeof part === "string");
  return parts.length > 0 ? `Devices take it ${parts.join(", ")}.` : undefined;
}

export function planWords(plan: RolloutPlan, dryRun: DryRun, now: number): string[] {
  const { policy, version } = plan;
  const phases = policy.phases ?? [];
  const waves = wavesOf(dryRun, phases);
  const told = waves.map(({ size, devices, soak_s }, i) => {
    const who = i === waves.length - 1 && i > 0 ? `then everybody else, ${plural(devices, "device")}` : `${i === 0 ? "first" : "then"} ${plural(devices, "device")}${phases[i]?.devices === undefined ? ` (${size})` : ""}`;
    return `${who}${soak_s > 0 ? `, watched for ${seconds(soak_s)}` : ""}`;
  });
  const cannot = [...unfit(dryRun)].map(([reason, n]) => `${plural(n, "device")} ${isCode(reason) ? "cannot run it" : "may not be able to run it"} (${reason}) and ${isCode(reason) ? "" : "then "}${n === 1 ? "keeps" : "keep"} what ${n === 1 ? "it has" : "they have"}.`);
  return [
    `${plural(dryRun.selected, "device")} matching ${plan.selector} ${dryRun.selected === 1 ? "is" : "are"} to take ${plan.model} ${version}: ${told.join("; ")}. Devices that match later get it too.`,
    starts(policy, now), gated(dryRun, policy), failing(policy), limits(policy), ...cannot,
    plan.lift_quarantine ? `${version} failed in an earlier rollout; its quarantine is lifted.` : undefined,
  ].filter((sentence) => sentence !== undefined);
}
