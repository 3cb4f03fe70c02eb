// The same rollout for a terminal: the policy file and the line that `ferry rollout create` takes.
import type { RolloutPlan } from "../api/types";

// A TOML basic string is a JSON string, but for DEL.
const quoted = (text: string) => JSON.stringify(text).replace(/\u007f/g, "\\u007f");

function valueOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueOf).join(", ")}]`;
  if (typeof value === "object" && value !== null) return `{${Object.entries(value).map(([key, inner]) => `${key} = ${valueOf(inner)}`).join(", ")}}`;
  return typeof value === "string" ? quoted(value) : String(value);
}

const isTable = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);
const isThere = ([, value]: [string, unknown]) => value !== undefined && value !== null;
const lines = (values: object) => Object.entries(values).filter(isThere).map(([key, value]) => `${key} = ${valueOf(value)}`);

// What is one value stands in [rollout], every part in a table of its own (cli/rollout_commands.cpp, docs/cli.md).
export function policyToml({ policy: { phases = [], ...rest } }: RolloutPlan): string {
  const members = Object.entries(rest).filter(isThere);
  const blocks = [
    ["[rollout]", ...lines(Object.fromEntries(members.filter(([, value]) => !isTable(value))))],
    ...members.flatMap(([key, value]) => (isTable(value) ? [[`[${key}]`, ...lines(value)]] : [])),
    ...phases.map((phase) => ["[[phases]]", ...lines(phase)]),
  ];
  return `${blocks.map((block) => block.join("\n")).join("\n\n")}\n`;
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
