import { expect, test } from "vitest";
import page from "../../../docs/formats/reasons.md?raw";
import verdict from "../../../docs/formats/verdict.md?raw";
import { reasons } from "../../src/state/reasons";

// The first column of the page's tables; tests/tidy/reasons_test.py compares it with the program.
const rows = [...page.matchAll(/^\| (`.*?) \|/gm)].map((found) => found[1]!);
const listed = rows.flatMap((cell) => [...cell.matchAll(/`([a-z]+\.[a-z_]+)`/g)].map((found) => found[1]!));

test("the dashboard has words for exactly the reasons that docs/formats/reasons.md lists, in its order", () => {
  expect(listed.length).toBeGreaterThan(45);
  expect([...reasons.keys()]).toEqual(listed);
});

test("the page has every reason of the live gate's verdict", () => {
  const codes = [...verdict.matchAll(/`(gate\.[a-z_]+)`/g)].map((found) => found[1]!);
  expect(codes.length).toBeGreaterThanOrEqual(12);
  for (const code of codes) expect(listed).toContain(code);
});

test("words are short enough for a table, and end without a full stop", () => {
  for (const [code, words] of reasons) expect([code, words.length > 8 && words.length < 90 && !words.endsWith(".")]).toEqual([code, true]);
});

test("every reason that the dashboard itself speaks of is one of them", () => {
  const sources = import.meta.glob<string>("../../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
  const files = new Set(["rollout.toml"]);
  const stages = new Set(listed.map((code) => code.split(".")[0]!));
  const used = Object.values(sources).flatMap((source) => [...source.matchAll(/"([a-z]+)\.([a-z_]+)"/g)]).filter((found) => stages.has(found[1]!)).map((found) => `${found[1]}.${found[2]}`).filter((name) => !files.has(name));
  expect(used).toContain("drift.world_changed");
  for (const code of used) expect(listed).toContain(code);
});
