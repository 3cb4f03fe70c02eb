import { expect, test } from "vitest";
import page from "../../../docs/formats/reasons.md?raw";
import { reasons } from "../../src/state/reasons";

test("the dashboard has words for exactly the reasons that docs/formats/reasons.md lists", () => {
  const listed = [...page.matchAll(/`([a-z]+\.[a-z_]+)`/g)].map((found) => found[1]!);
  expect(listed.length).toBeGreaterThan(20);
  expect([...reasons.keys()].sort()).toEqual([...new Set(listed)].sort());
});
