// Which member of a request a refusal is about. The server begins its detail with the way to it: "policy: phases[0]: field
// 'percent': expected …" is policy.phases[0].percent.
import type { Problem } from "../api/types";

export interface FieldProblem {
  path: string; // "" when the detail names none
  text: string;
}

const steps: RegExp[] = [/^(?:unknown )?field '([A-Za-z_]+)'$/, /^([a-z][a-z0-9_]*(?:\[\d{1,4}\])?(?:\.[a-z0-9_]+)*)$/];
const passedBy = new Set(["live gate policy", "body"]); // they say where, and are no member

export function fieldOf({ detail }: Pick<Problem, "detail">): FieldProblem {
  const path: string[] = [];
  const parts = detail.split(": ");
  let at = 0;
  for (; at < parts.length - 1; at++) {
    const part = parts[at]!;
    if (passedBy.has(part)) continue;
    const found = steps.map((step) => step.exec(part)?.[1]).find((name) => name !== undefined);
    if (found === undefined) break;
    path.push(found);
  }
  return path.length === 0 ? { path: "", text: detail } : { path: path.join("."), text: parts.slice(at).join(": ") };
}

// The one of `known` that this problem stands at: itself, or the nearest that holds it; undefined when none does.
export function placeOf(path: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const one of known) {
    if (one !== path && !path.startsWith(`${one}.`) && !path.startsWith(`${one}[`)) continue;
    if (best === undefined || one.length > best.length) best = one;
  }
  return best;
}
