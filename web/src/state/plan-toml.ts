// The same rollout for a terminal: the policy file and the line that `ferry rollout create` takes.
import type { RolloutPlan } from "../api/types";

// A TOML basic string is a JSON string, but for DEL.
const quoted = (text: string) => JSON.stringify(text).replace(/\u007f/g, "\\u007f");

function valueOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueOf).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{${Object.entries(value).map(([key, inner]) => `${key} = ${valueOf(inner)}`).join(", ")}}`;
  return typeof value === "string" ? quoted(value) : String(value);
}

const lines = (values: object) => Object.entries(values).filter(([, value]) => value !== undefined && value !== null).map(([key, value]) => `${key} = ${valueOf(value)}`);

export function policyToml({ policy }: RolloutPlan): string {
  const { phases = [], gate, ...rest } = policy;
  const blocks = [["[rollout]", ...lines(rest)], ...(gate ? [["[gate]", ...lines(gate)]] : []), ...phases.map((phase) => ["[[phases]]", ...lines(phase)])];
  return `${blocks.filter((block) => block.length > 1 || block[0] === "[gate]").map((block) => block.join("\n")).join("\n\n")}\n`;
}

// As a shell reads it: whatever somebody typed stays one word.
const word = (text: string) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`);

export function createLine({ model, version, selector, name, lift_quarantine }: RolloutPlan): string {
  const parts = ["ferry", "rollout", "create", word(`${model}@${version}`)];
  if (selector !== "*") parts.push("--selector", word(selector));
  if (name) parts.push("--name", word(name));
  if (lift_quarantine) parts.push("--lift-quarantine");
  return [...parts, "--policy", "rollout.toml"].join(" ");
}
