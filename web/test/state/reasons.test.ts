import { expect, test } from "vitest";
import page from "../../../docs/formats/reasons.md?raw";
import verdict from "../../../docs/formats/verdict.md?raw";
import { reasons } from "../../src/state/reasons";

test("the dashboard has words for exactly the reasons that docs/formats/reasons.md and those of the gate that verdict.md list", () => {
  const listed = [...page.matchAll(/`([a-z]+\.[a-z_]+)`/g), ...verdict.matchAll(/`(gate\.[a-z_]+)`/g)].map((found) => found[1]!);
  expect(listed.filter((code) => code.startsWith("gate.")).length).toBeGreaterThan(12);
  expect(listed.length).toBeGreaterThan(30);
  expect([...reasons.keys()].sort()).toEqual([...new Set(listed)].sort());
});
