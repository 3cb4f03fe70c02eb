// The tests are worth what their fixtures are worth: every member that they use stands in the documents of the formats.
import { expect, test } from "vitest";
import deviceApi from "../../docs/formats/device-api.md?raw";
import gate from "../../docs/formats/gate.md?raw";
import operatorApi from "../../docs/formats/operator-api.md?raw";
import verdict from "../../docs/formats/verdict.md?raw";
import slots from "../../docs/formats/slots.md?raw";
import thirdParty from "../../docs/third-party.md?raw";
import packageJson from "../package.json?raw";
import * as fixtures from "./fixtures";

const pages = [operatorApi, gate, deviceApi, slots, verdict].join("\n");
const free = new Set(["labels"]); // names inside are the operator's

function members(value: unknown, into = new Set<string>()): Set<string> {
  if (Array.isArray(value)) value.forEach((item) => members(item, into));
  else if (typeof value === "object" && value !== null) {
    for (const [key, inner] of Object.entries(value)) {
      into.add(key);
      if (!free.has(key)) members(inner, into);
    }
  }
  return into;
}

// As a JSON member, as code, or in a list like {boot, agent_version} or "variant_reason, stage (prove | …)".
const documented = (name: string) => new RegExp("([\"`{]|, )" + name + "([\"`},]| \\()").test(pages);

test.each(Object.keys(fixtures.answers))("the answer to GET %s has no member that is not documented", (path) => {
  expect([...members(fixtures.answers[path])].filter((name) => !documented(name))).toEqual([]);
});

test("every state of a device in a rollout that the document names has a place in the bar", async () => {
  const { toneOf } = await import("../src/components/status");
  const listed = /Device states inside: ((?:`[a-z_]+` ?)+)/.exec(operatorApi)![1]!.match(/[a-z_]+/g)!;
  expect(listed).toContain("timed_out");
  for (const state of listed) expect([state, state === "waiting" || toneOf(state) !== "plain"]).toEqual([state, true]);
});

test("docs/third-party.md lists every npm package with its version, and which of them are shipped", () => {
  const own = JSON.parse(packageJson) as { dependencies: Record<string, string>; devDependencies: Record<string, string> };
  const section = thirdParty.slice(thirdParty.indexOf("| npm package |"), thirdParty.indexOf("## Benchmarks"));
  const rows = section.split("\n").slice(2).filter((line) => line.startsWith("|")).map((line) => line.split("|").map((cell) => cell.trim()));
  const listed = rows.map(([, name, version, , linked]) => [name, version, linked!.startsWith("yes")]);
  const used = [...Object.entries(own.dependencies).map(([name, version]) => [name, version, true]), ...Object.entries(own.devDependencies).map(([name, version]) => [name, version, false])];
  expect(listed.map(String).sort()).toEqual(used.map(String).sort());
});
