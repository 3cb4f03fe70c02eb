import { describe, expect, test } from "vitest";
import type { GateMeasurement } from "../../src/api/types";
import { Interval } from "../../src/charts/interval";
import { Lane } from "../../src/charts/lane";
import { Lines, type Line } from "../../src/charts/lines";
import { StackedBar } from "../../src/charts/stacked-bar";
import { ticks, timeTicks } from "../../src/charts/scale";
import { microseconds } from "../../src/state/format";
import * as fixtures from "../fixtures";
import { button, click, column, inTheWorld, show, text } from "../support";

inTheWorld();
const label = (page: Element) => page.querySelector("svg[role=img]")!.getAttribute("aria-label");

describe("ticks", () => {
  test.each([[0, 1_503, [0, 500, 1_000, 1_500, 2_000]], [0, 1_500, [0, 500, 1_000, 1_500]], [88.7, 91.3, [88, 89, 90, 91, 92]], [0, 0.03, [0, 0.01, 0.02, 0.03]], [-5, 5, [-5, 0, 5]], [7, 7, [6, 8, 10, 12, 14]], [0, 0, [0, 0.5, 1]]])(
    "from %d to %d stand at round values that enclose them", (low, high, expected) => expect(ticks(low, high)).toEqual(expected));
  test.each([[0, 1], [3, 1e9], [0.001, 0.0011], [-1e6, -1e5], [99.99, 100]])("enclose %d … %d and are few", (low, high) => {
    const found = ticks(low, high);
    expect(found[0]).toBeLessThanOrEqual(low);
    expect(found[found.length - 1]).toBeGreaterThanOrEqual(high);
    expect(found.length).toBeLessThanOrEqual(7);
  });
  test.each([[30_000, "second"], [3_600_000, "minute"], [86_400_000, "minute"], [30 * 86_400_000, "day"]])("of time over %d ms are round, inside, and as fine as %s", (span, precision) => {
    const found = timeTicks(fixtures.now - span, fixtures.now);
    expect(found.precision).toBe(precision);
    expect(found.at.length).toBeGreaterThan(1);
    expect(found.at.length).toBeLessThanOrEqual(7);
    expect(found.at.every((at) => at >= fixtures.now - span && at <= fixtures.now)).toBe(true);
  });
});

describe("a stacked bar", () => {
  test("says its parts in a sentence, shows them with numbers, and leaves out what is none", async () => {
    const page = await show(<StackedBar what="Devices" parts={[{ label: "committed", value: 1_200, tone: "tone-good" }, { label: "failed", value: 0, tone: "tone-bad" }, { label: "waiting", value: 300, tone: "tone-wait" }]} />);
    expect(label(page)).toBe("Devices: 1,200 committed, 300 waiting");
    expect([...page.querySelectorAll(".legend li")].map(text)).toEqual(["committed 1,200", "waiting 300"]);
    const widths = [...page.querySelectorAll("rect[class^=tone-]:not(.tone-empty)")].map((rect) => Number(rect.getAttribute("width")));
    expect(widths[0]! / widths[1]!).toBeCloseTo(4, 1);
  });
  test("of nothing says so", async () => {
    const page = await show(<StackedBar what="Devices" parts={[]} />);
    expect(label(page)).toBe("Devices: none");
    expect(text(page.querySelector(".legend"))).toBe("no devices");
  });
  test("keeps a part of one in 40,000 visible", async () => {
    const page = await show(<StackedBar what="x" parts={[{ label: "a", value: 39_999, tone: "tone-good" }, { label: "b", value: 1, tone: "tone-bad" }]} />);
    expect(Number(page.querySelector(".tone-bad")!.getAttribute("width"))).toBeGreaterThanOrEqual(1);
  });
});

describe("lines", () => {
  const minute = 60_000;
  const line = (name: string, color: number, ...points: [number, number][]): Line => ({ label: name, color, points: points.map(([at, value]) => ({ at_ms: fixtures.now + at * minute, value })) });
  const lines = [line("1.4.0", 0, [-3, 900], [-2, 950], [-1, 1_000]), line("1.3.0", 1), line("1.1.0", 2, [-10, 1_500], [-9, 1_400], [-3, 1_450])];
  const chart = <Lines name="latency" title="p99" unit={microseconds} step_s={60} fromZero lines={lines} />;
  test("say what, when and the latest values in a sentence", async () => expect(label(await show(chart))).toBe("p99, 09:19 to 09:29 UTC; latest: 1.4.0 1.00 ms, 1.1.0 1.45 ms"));
  test("break where no report came, and keep a release's colour when another has no data", async () => {
    const page = await show(chart);
    expect(page.querySelectorAll(".series-0 polyline")).toHaveLength(1);
    expect(page.querySelectorAll(".series-1")).toHaveLength(0);
    expect(page.querySelectorAll(".series-2 polyline")).toHaveLength(2);
    expect([...page.querySelectorAll(".legend li")].map(text)).toEqual(["1.4.0 1.00 ms", "1.1.0 1.45 ms", "latest"]);
  });
  test("stay inside the drawing, zero included", async () => {
    const page = await show(chart);
    const [height, ys] = [Number(page.querySelector("svg")!.getAttribute("height")), [...page.querySelectorAll("circle")].map((c) => Number(c.getAttribute("cy")))];
    expect(Math.min(...ys)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...ys)).toBeLessThanOrEqual(height);
    expect([...page.querySelectorAll(".tick")].map(text)).toContain("0");
  });
  test("are a table on request, with every point", async () => {
    const page = await show(chart);
    await click(button(page, "Show as table"));
    expect(page.querySelector("svg")).toBeNull();
    expect(column(page, "p99", "Value")).toEqual(["900 µs", "950 µs", "1.00 ms", "1.50 ms", "1.40 ms", "1.45 ms"]);
    expect(button(page, "Show as table").getAttribute("aria-pressed")).toBe("true");
    expect(window.location.search).toBe("?table=latency");
    await click(button(page, "Show as table"));
    expect(page.querySelector("svg")).not.toBeNull();
    expect(window.location.search).toBe("");
  });
  test("of one point are drawn, of none say so", async () => {
    const one = await show(<Lines name="latency" title="x" unit={String} step_s={60} lines={[line("1", 0, [0, 5])]} />);
    expect(one.querySelectorAll("circle")).toHaveLength(1);
    expect([...one.querySelectorAll("circle")].every((c) => Number.isFinite(Number(c.getAttribute("cx"))) && Number.isFinite(Number(c.getAttribute("cy"))))).toBe(true);
    expect(text(await show(<Lines name="latency" title="x" unit={String} step_s={60} lines={[line("1", 0)]} />))).toBe("No data yet.");
  });
});

describe("the lane of a device", () => {
  test("says which release ran when, and what came back", async () => {
    const page = await show(<Lane items={fixtures.timeline.items} model="fashion-mnist" now={fixtures.now} />);
    expect(label(page)).toBe("What ran when (UTC): 1.0.0 from 08:10:00 to 08:38:00, 1.1.0 from 08:38:00 to 09:24:00, 1.4.0 since 09:24:00, 1.3.0 rolled back at 08:59:00");
    expect([...page.querySelectorAll(".span-label")].map(text)).toEqual(["1.0.0", "1.1.0", "1.4.0"]);
    expect(page.querySelectorAll(".setback")).toHaveLength(1);
  });
  test("is not there before anything ran", async () => expect(text(await show(<Lane items={[]} model="m" now={fixtures.now} />))).toBe(""));
});

describe("an interval beside its limit", () => {
  const measurement: GateMeasurement = { id: "a@b/c", unit: "us", value: 15, low: 10, high: 20, threshold: 30, op: "<=", n: 5, verdict: "pass", detail: "" };
  const at = (page: Element, what: string, name: string) => Number(page.querySelector(what)!.getAttribute(name));
  test("is in order, and a decoration: the row's cells say the same", async () => {
    const page = await show(<Interval measurement={measurement} />);
    expect(page.querySelector("svg")!.getAttribute("aria-hidden")).toBe("true");
    const order = [at(page, ".interval-range", "x1"), at(page, ".interval-value", "cx"), at(page, ".interval-range", "x2"), at(page, ".interval-limit", "x1")];
    expect([...order].sort((a, b) => a - b)).toEqual(order);
    expect(at(page, ".interval-allowed", "x")).toBe(0);
  });
  test("allows upwards when the limit is a least one", async () => {
    const page = await show(<Interval measurement={{ ...measurement, op: ">=", threshold: 5 }} />);
    expect(at(page, ".interval-allowed", "x")).toBe(at(page, ".interval-limit", "x1"));
  });
  test("that must be equal allows nothing beside its limit", async () => expect((await show(<Interval measurement={{ ...measurement, op: "==" }} />)).querySelector(".interval-allowed")).toBeNull());
  test("of equal values stands in the middle; of nonsense not at all", async () => {
    expect(at(await show(<Interval measurement={{ ...measurement, value: 16, low: 16, high: 16, threshold: 16 }} />), ".interval-value", "cx")).toBe(60);
    expect((await show(<Interval measurement={{ ...measurement, value: Number.NaN }} />)).querySelector("svg")).toBeNull();
  });
});
