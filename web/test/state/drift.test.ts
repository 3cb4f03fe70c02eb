import { describe, expect, test } from "vitest";
import { cellsOf, cohortName, factor, glyphs, levelOf, levels, moment, numbersOf, sentenceOf, spansMax, spansOf } from "../../src/state/drift";
import { driftWindow } from "../drift-fixtures";
import * as fixtures from "../fixtures";

const minute = 60_000;
const now = fixtures.now;

describe("spans of time", () => {
  test.each([3_600, 86_400, 604_800, 2_592_000, 60, 10 * 2_592_000])("of the last %i seconds are even, round, cover them, and are few", (window_s) => {
    const spans = spansOf(now, window_s);
    const step = spans[0]!.end_ms - spans[0]!.start_ms;
    expect(spans.length).toBeLessThanOrEqual(spansMax);
    expect(spans[0]!.start_ms).toBeLessThanOrEqual(now - window_s * 1_000);
    expect(spans[spans.length - 1]!.end_ms).toBeGreaterThanOrEqual(now);
    spans.forEach((span, i) => expect([span.start_ms % step, span.start_ms]).toEqual([0, spans[0]!.start_ms + i * step]));
  });
});

describe("a cell", () => {
  const spans = [0, 1, 2].map((i) => ({ start_ms: i * 10 * minute, end_ms: (i + 1) * 10 * minute }));
  const cells = (...windows: ReturnType<typeof driftWindow>[]) => cellsOf({ ...fixtures.drift.cohorts[0]!, windows }, spans);
  test("without a window is no good news", () => expect(cells().map((cell) => cell.level)).toEqual(["none", "none", "none"]));
  test("is as bad as its worst window, and names it", () => {
    const worst = driftWindow(15 * minute, { level: "warn", tv: 0.2 });
    const [, middle] = cells(driftWindow(16 * minute), worst, driftWindow(17 * minute, { level: "warn", tv: 0.1 }), driftWindow(18 * minute, { level: "notice", tv: 0.9 }));
    expect([middle!.level, middle!.windows, middle!.worst]).toEqual(["warn", 4, worst]);
  });
  test("counts a long window wherever it lasted, and not where it had only ended", () => {
    const long = { ...driftWindow(20 * minute, { level: "warn" }), start_ms: 5 * minute };
    expect(cells(long).map((cell) => cell.level)).toEqual(["warn", "warn", "none"]);
  });
  test("of a level of tomorrow claims nothing", () => expect([levelOf("catastrophe"), levelOf("warn")]).toEqual(["none", "warn"]));
});

test("every level has a glyph of its own, so that colour is not needed", () => expect(new Set(levels.map((level) => glyphs[level])).size).toBe(levels.length));

describe("the numbers of a window", () => {
  test("say how many, how far, how sure, and what else fails", () => {
    const window = fixtures.drift.cohorts[0]!.windows.at(-1)!;
    expect(numbersOf(window, 1_000)).toEqual([
      "240 predictions of 10 devices (of 1 only a part counted)", "total variation 0.31", "evidence 5,301 of 1,000 needed for an alarm: alarm",
      "estimated accuracy 79.3 % (reference 87.1 %, ± 1.0 %; a guess without labels)", "12 right and 20 wrong of audited labels", "also failing: accuracy",
    ]);
  });
  test.each([null, undefined, { reference: 0, now: 0, standard_error: 0 }])("leave out what was not measured (%o)", (guess) =>
    expect(numbersOf(driftWindow(now, { estimated_accuracy: guess! }), 1_000)).toEqual(["240 predictions of 10 devices", "total variation 0.02", "evidence 1.9 of 1,000 needed for an alarm"]));
  test.each([[0, "0"], [0.001234, "0.00123"], [12.345, "12.3"], [5_238.9, "5,239"], [1e9, "over 1,000,000"], [Infinity, "over 1,000,000"]])("evidence of %d is written as %s", (value, text) => expect(factor(value)).toBe(text));
});

test("a cohort is called by what it is", () => expect(fixtures.drift.cohorts.map(cohortName)).toEqual([
  `1.4.0 on ${fixtures.hardwareClass}`, "1.4.0 on aarch64-dotprod-4c-4g-cpu", `1.1.0 on ${fixtures.hardwareClass}`, "1.4.0, canaries of ro-9a01", "1.1.0, controls of ro-9a01",
]));

test("a cell is told in one sentence", () => {
  const cohort = fixtures.drift.cohorts[1]!;
  const cell = cellsOf(cohort, [{ start_ms: now - 10 * minute, end_ms: now - 5 * minute }])[0]!;
  expect(sentenceOf(cohort, cell, 1_000, 3_600_000)).toMatch(/^1\.4\.0 on aarch64-dotprod-4c-4g-cpu, 09:20 to 09:25 UTC: ok, as in CI; 2 windows, the worst: 240 predictions of 10 devices; total variation 0\.02;/);
  expect(sentenceOf(cohort, { ...cell, level: "none", worst: undefined }, 1_000, 3_600_000)).toBe("1.4.0 on aarch64-dotprod-4c-4g-cpu, 09:20 to 09:25 UTC: no predictions");
});

test("a long heatmap says the day too", () => expect([moment(now, 3_600_000), moment(now, 604_800_000)]).toEqual(["09:30", "11-25 09:30"]));
