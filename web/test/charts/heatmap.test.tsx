import { act } from "preact/test-utils";
import { describe, expect, test, vi } from "vitest";
import { Heatmap } from "../../src/charts/heatmap";
import { spansOf } from "../../src/state/drift";
import * as fixtures from "../fixtures";
import { click, inTheWorld, settle, show, text } from "../support";

inTheWorld();

const choose = vi.fn();
const heatmap = () => show(<Heatmap model="fashion-mnist" cohorts={fixtures.drift.cohorts} to_ms={fixtures.now} window_s={3_600} alarm_at={1_000} chosen="dc-2" choose={choose} />);
const grid = (page: Element) => page.querySelector<HTMLElement>("[role=grid]")!;
const press = async (page: Element, ...keys: string[]) => {
  for (const key of keys) await act(async () => void grid(page).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
  await settle();
};
const here = (page: Element) => text(page.querySelector(".heat-here"));
const active = (page: Element) => page.querySelector(`[id="${grid(page).getAttribute("aria-activedescendant")}"]`);

describe("the heatmap", () => {
  test("has a row for each cohort and a named cell for each span", async () => {
    const page = await heatmap();
    const cells = spansOf(fixtures.now, 3_600).length;
    expect(page.querySelectorAll("[role=row]")).toHaveLength(5);
    expect(page.querySelectorAll("[role=gridcell]")).toHaveLength(5 * cells);
    expect(page.querySelectorAll("[role=gridcell]:not([aria-label])")).toHaveLength(0);
    expect([...page.querySelectorAll("[role=rowheader]")].map(text)).toEqual([
      `1.4.0 critical10 devices${fixtures.hardwareClass}`, "1.4.0 ok8 devicesaarch64-dotprod-4c-4g-cpu", `1.1.0 notice17 devices${fixtures.hardwareClass}`, "1.4.0 warn10 devicescanary of ro-9a01", "1.1.0 warn10 devicescontrol of ro-9a01",
    ].map((line) => expect.stringMatching(new RegExp(line.replace(/([.+])/g, "\\$1").replace(/(critical|ok|notice|warn|devices)(?=\S)/g, "$1 ?")))));
    expect(page.querySelector("[aria-selected=true]")?.getAttribute("aria-rowindex")).toBe("2");
  });
  test("says by glyph and word what it says by colour", async () => {
    const page = await heatmap();
    expect(text(page.querySelector(".legend"))).toBe("no predictions· ok as in CI○ notice no longer as in CI▲ warn far enough from CI to matter✕ critical far from CI, and another sign says harm");
    expect([...page.querySelectorAll(".heat-cells .heat-critical")].every((cell) => text(cell) === "✕")).toBe(true);
  });
  test("is one stop for the keyboard, and the arrow keys go from cell to cell", async () => {
    const page = await heatmap();
    expect(page.querySelectorAll("[role=grid] [tabindex]")).toHaveLength(0);
    await press(page, "ArrowLeft");
    const last = active(page)!;
    expect(last.getAttribute("aria-label")).toContain("1.4.0 on x86_64");
    await press(page, "ArrowDown", "Home");
    expect(active(page)!.getAttribute("aria-label")).toMatch(/^1\.4\.0 on aarch64-dotprod-4c-4g-cpu, 08:30/);
    expect(here(page)).toMatch(/^1\.4\.0 on aarch64-dotprod-4c-4g-cpu, 08:30 to 08:32 UTC: ok/);
    await press(page, "ArrowLeft", "PageUp", "PageDown", "End");
    expect(active(page)!.getAttribute("aria-label")).toMatch(/^1\.1\.0, controls of ro-9a01/);
  });
  test("Enter and a click list a cohort's windows", async () => {
    const page = await heatmap();
    await press(page, "ArrowLeft", "ArrowDown", "Enter");
    await click(page.querySelector<HTMLElement>("[role=row]:nth-child(3) .heat")!);
    expect(choose.mock.calls).toEqual([["dc-2"], ["dc-3"]]);
  });
  test("says the numbers of what is pointed at", async () => {
    const page = await heatmap();
    await act(async () => void page.querySelector(".heat-critical")!.dispatchEvent(new Event("pointerenter")));
    await settle();
    expect(here(page)).toContain("evidence 5,301 of 1,000 needed for an alarm: alarm");
    expect(here(page)).toContain("12 right and 20 wrong of audited labels");
  });
});
