import { describe, expect, test } from "vitest";
import { absolute, ago, bytes, clock, comparison, count, gateValue, microseconds, percent, plural, seconds, shortened } from "../../src/state/format";

describe("numbers", () => {
  test.each([[0, "0"], [999, "999"], [1_204_331, "1,204,331"]])("%d is counted as %s", (value, shown) => expect(count(value)).toBe(shown));
  test.each([[0, "0 devices"], [1, "1 device"], [1_000, "1,000 devices"]])("%d devices read %s", (value, shown) => expect(plural(value, "device")).toBe(shown));
  test("an irregular plural is taken as given", () => expect(plural(2, "retry", "retries")).toBe("2 retries"));
  test.each([
    [0, "–"], [-1, "–"], [Number.NaN, "–"], [0.4, "0 µs"], [999, "999 µs"], [999.7, "1.00 ms"], [1_503, "1.50 ms"], [12_340, "12.3 ms"], [123_400, "123 ms"], [999_700, "1.00 s"], [2_500_000, "2.50 s"],
  ])("%d microseconds read %s", (value, shown) => expect(microseconds(value)).toBe(shown));
  test.each([[10, "10 s"], [119, "119 s"], [600, "10 min"], [900, "15 min"], [5_430, "90.5 min"], [7_200, "2 h"], [86_400, "24 h"]])("%d seconds read %s", (value, shown) => expect(seconds(value)).toBe(shown));
  test.each([[0, "0 B"], [1_023, "1023 B"], [1_024, "1.0 KiB"], [1_048_550, "1.0 MiB"], [94_371_840, "90.0 MiB"], [16_777_216_000, "15.6 GiB"], [5e15, "4547.5 TiB"]])("%d bytes read %s", (value, shown) => expect(bytes(value)).toBe(shown));
  test.each([[undefined, "–"], [0, "0.0 %"], [908_498, "90.8 %"], [1_000_000, "100.0 %"]])("%s parts per million read %s", (value, shown) => expect(percent(value)).toBe(shown));
});

describe("times", () => {
  const now = Date.UTC(2026, 10, 25, 9, 30, 0);
  test.each([
    [0, "never"], [now + 60_000, "just now"], [now - 4_000, "just now"], [now - 5_000, "5 s ago"], [now - 89_000, "89 s ago"], [now - 90_000, "2 min ago"], [now - 89 * 60_000, "89 min ago"],
    [now - 90 * 60_000, "2 h ago"], [now - 35 * 3_600_000, "35 h ago"], [now - 36 * 3_600_000, "2 d ago"],
  ])("%d reads %s", (ms, shown) => expect(ago(ms, now)).toBe(shown));
  test.each([[now, "2026-11-25 09:30:00 UTC"], [0, "never"], [-5, "never"], [Number.NaN, "never"], [1e18, "never"]])("%d is absolutely %s", (ms, shown) => expect(absolute(ms)).toBe(shown));
  test("a clock is as fine as asked, and survives nonsense", () => {
    expect(clock(now)).toBe("09:30");
    expect(clock(now, "second")).toBe("09:30:00");
    expect(clock(now, "day")).toBe("11-25");
    expect(clock(1e18)).toBe("–");
  });
});

describe("digests", () => {
  test("both ends stay", () => expect(shortened("0123456789abcdef")).toBe("012345…abcdef"));
  test("what is not much longer than its short form stays whole", () => expect(shortened("0123456789abcde")).toBe("0123456789abcde"));
});

describe("values of a gate report", () => {
  test.each([
    [910_400, "ppm", "91.04 %"], [1_511, "us", "1.51 ms"], [94_371_840, "bytes", "90.0 MiB"], [0.982, "ratio", "0.982×"], [16, "samples", "16"], [-2_100, "ppm", "-0.21 %"],
  ])("%d %s reads %s", (value, unit, shown) => expect(gateValue(value, unit)).toBe(shown));
  test("comparisons are printed as in a book", () => expect([">=", "<=", "==", "!="].map(comparison)).toEqual(["≥", "≤", "=", "!="]));
});
