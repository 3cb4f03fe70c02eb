// Phases in words: how much of a rollout's devices each takes in.
import type { DryRun, PolicyPhase, Rollout } from "../api/types";
import { count, plural } from "./format";

export function phaseSize({ percent, devices, selector }: PolicyPhase): string {
  if (selector !== undefined && selector !== "") return selector;
  if (devices !== undefined && devices > 0) return `first ${plural(devices, "device")}`;
  return `${count(percent ?? 0)} %`;
}

// The plan says how a phase is measured; what became of it has its own list.
export const phaseSizes = ({ policy, phases }: Rollout): string[] => phases.map((phase, i) => phaseSize(policy.phases?.[i] ?? { percent: phase.percent, soak_s: phase.soak_s }));

export interface Wave {
  size: string;
  devices: number; // this phase alone
  soak_s: number;
}

// What a dry run says of each phase. Its counts include the phases before; its list of devices is whole unless truncated.
export function wavesOf({ items, phases, truncated }: DryRun, planned: PolicyPhase[]): Wave[] {
  return planned.map((phase, i) => ({
    size: phaseSize(phase), soak_s: phase.soak_s,
    devices: truncated ? Math.max(0, (phases[i]?.devices ?? 0) - (phases[i - 1]?.devices ?? 0)) : items.filter((item) => item.phase === i).length,
  }));
}
