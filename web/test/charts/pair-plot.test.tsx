import { act } from "preact/test-utils";
import { describe, expect, test } from "vitest";
import { EvidenceBar } from "../../src/charts/evidence-bar";
import { marksOf, PairPlot } from "../../src/charts/pair-plot";
import { pairSets, slower, type PairSet } from "../../src/state/gate";
import { verdicts } from "../fixtures";
import { button, click, column, hrefs, inTheWorld, settle, show, text } from "../support";

inTheWorld();
const set = pairSets(verdicts.fail).find((one) => one.key === "latency.p50@50")!;
const plot = (page: Element) => page.querySelector<HTMLElement>("[role=slider]")!;
async function press(element: HTMLElement, key: string): Promise<boolean> {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  await act(async () => void element.dispatchEvent(event));
  await settle();
  return event.defaultPrevented;
}

describe("marks", () => {
  test.each([[-100_000, 100_000], [-2_000_000, 3_000_000], [-10, 10], [-64e6, 64e6], [62_500, 1_000_000]])("of latency from %d to %d are few, round, apart, and zero is one of them", (low, high) => {
    const marks = marksOf("uoct", low, high);
    expect(marks).toContain(0);
    expect(marks.length).toBeLessThanOrEqual(9);
    expect(marks).toEqual([...marks].sort((a, b) => a - b));
    for (const mark of marks) expect(slower(mark)).toMatch(/^(0|[+−]\d[\d,]*(\.0)?) %$/);
  });
});

describe("the plot of differences", () => {
  test("has a dot for each pair, those beyond the margin told apart, and says so in a sentence and a legend", async () => {
    const page = await show(<PairPlot set={set} />);
    expect(page.querySelectorAll(".pair circle")).toHaveLength(8);
    expect(page.querySelectorAll(".pair-beyond circle")).toHaveLength(set.points.filter((p) => p.value > set.margin).length);
    expect(text(page.querySelector(".pair-summary"))).toContain("8 of 8 pairs lie beyond the margin of +4.4 %");
    expect([...page.querySelectorAll(".legend li")].map(text)).toEqual(["beyond the margin 8", "not beyond it 0", "margin +4.4 %"]);
  });
  test("draws what is worse higher, the margin above zero, and the band around zero", async () => {
    const page = await show(<PairPlot set={set} />);
    const heights = [...page.querySelectorAll(".pair circle")].map((dot) => Number(dot.getAttribute("cy")));
    expect(heights).toEqual([...heights].sort((a, b) => a - b));
    const at = (selector: string) => Number(page.querySelector(selector)!.getAttribute("y1"));
    expect(at(".pair-margin")).toBeLessThan(at(".pair-zero"));
    const band = page.querySelector(".pair-band")!;
    const middle = Number(band.getAttribute("y")) + Number(band.getAttribute("height")) / 2;
    expect(middle).toBeCloseTo(at(".pair-zero"), 3);
  });
  test("is gone through with the arrow keys, says each pair, and stops at both ends", async () => {
    const page = await show(<PairPlot set={set} />);
    const slider = plot(page);
    expect([slider.tabIndex, slider.getAttribute("aria-valuemin"), slider.getAttribute("aria-valuemax")]).toEqual([0, "1", "8"]);
    expect(slider.getAttribute("aria-label")).toContain("pair by pair");
    const here = () => [slider.getAttribute("aria-valuenow"), slider.getAttribute("aria-valuetext")];
    for (const key of ["ArrowLeft", "ArrowRight"]) expect(await press(slider, key)).toBe(true);
    const second = set.points[1]!;
    expect(here()).toEqual(["2", `${second.canary} → ${second.control}: ${slower(second.value)}, beyond the margin`]);
    expect(text(page.querySelector(".pair-here"))).toContain(`${second.canary} → ${second.control} ${slower(second.value)} canary ${second.before[0]} → ${second.now[0]}`);
    expect(hrefs(page.querySelector(".pair-here")!)).toEqual([`/devices/${second.canary}`, `/devices/${second.control}`]);
    expect(page.querySelectorAll(".pair-at")).toHaveLength(1);
    await press(slider, "End");
    await press(slider, "ArrowDown");
    await press(slider, "PageUp");
    expect(here()[0]).toBe("8");
    await press(slider, "Home");
    expect(here()[0]).toBe("1");
    expect(await press(slider, "Tab")).toBe(false);
  });
  test("is there as a table too", async () => {
    const page = await show(<PairPlot set={set} />);
    await click(button(page, "Show as table"));
    const caption = `How much more each canary slowed down than its control: ${set.label}`;
    expect(column(page, caption, "Canary")).toEqual(set.points.map((p) => p.canary));
    expect(column(page, caption, "Difference")).toEqual(set.points.map((p) => slower(p.value)));
    expect(column(page, caption, "before → now")[0]).toBe(`${set.points[0]!.before[0]} → ${set.points[0]!.now[0]}`);
    expect(column(page, caption, "Margin")[0]).toBe("beyond +4.4 %");
    expect(plot(page)).toBeNull();
  });
  test("tells of a canary that has since fallen silent", async () => {
    const silent: PairSet = { ...set, points: set.points.map((p, i) => ({ ...p, silent: i === 0 })) };
    const page = await show(<PairPlot set={silent} />);
    expect(page.querySelectorAll(".pair-silent")).toHaveLength(1);
    expect(plot(page).getAttribute("aria-valuetext")).toContain("the canary is silent now");
  });
  test("of shares is in percentage points", async () => {
    const page = await show(<PairPlot set={pairSets(verdicts.fail).find((one) => one.key === "accuracy@20")!} />);
    expect(text(page.querySelector(".legend"))).toContain("margin +2.0 pp");
    expect(text(page.querySelector("svg"))).toMatch(/\+10\.0 pp/);
  });
  test("without a value says so", async () => expect(text(await show(<PairPlot set={{ ...set, points: [], missing: 10 }} />))).toBe("No pair has a value here yet."));
  test("of a thousand pairs, of one, of equal ones and of the greatest differences stays inside and finite", async () => {
    const point = set.points[0]!;
    const many = Array.from({ length: 1_000 }, (_, i) => ({ ...point, canary: `dev-${i}`, value: 128e6 - i * 256e3 }));
    for (const points of [many, [point], [{ ...point, value: 0 }, { ...point, canary: "b", value: 0 }]]) {
      const page = await show(<PairPlot set={{ ...set, margin: points.length === 2 ? 0 : set.margin, points }} />);
      const places = [...page.querySelectorAll(".pair circle")].flatMap((dot) => [Number(dot.getAttribute("cx")) / 560, Number(dot.getAttribute("cy")) / 200]);
      expect(places).toHaveLength(2 * points.length);
      expect(places.every((place) => place > 0 && place < 1)).toBe(true);
    }
  });
});

describe("a bar of evidence", () => {
  const bar = async (unats: number, threshold = 2_995_732) => {
    const page = await show(<EvidenceBar unats={unats} threshold={threshold} scale={2_995_732} />);
    const part = page.querySelector("rect[class^=evidence]")!;
    const [x, width] = ["x", "width"].map((name) => Number(part.getAttribute(name)));
    return { tone: part.getAttribute("class"), from: x!, to: x! + width!, one: Number(page.querySelector(".evidence-one")!.getAttribute("x1")), limit: page.querySelector(".evidence-limit") };
  };
  test("goes to the right for harm and to the left against it, and has another colour once it suffices", async () => {
    const [harm, against, enough] = [await bar(1e6), await bar(-1e6), await bar(3e6)];
    expect([harm.tone, against.tone, enough.tone]).toEqual(["evidence-for", "evidence-against", "evidence-enough"]);
    expect(harm.from).toBeCloseTo(harm.one);
    expect(against.to).toBeCloseTo(against.one);
    expect(enough.to).toBeGreaterThan(Number(enough.limit!.getAttribute("x1")));
    expect(harm.to).toBeLessThan(Number(harm.limit!.getAttribute("x1")));
  });
  test.each([1e15, -1e15, 0])("of %d micro-nats stays inside", async (unats) => {
    const { from, to } = await bar(unats);
    expect(from).toBeGreaterThanOrEqual(0);
    expect(to).toBeLessThanOrEqual(240);
  });
  test("of one group alone has no limit", async () => expect((await bar(1e6, 0)).limit).toBeNull());
});
