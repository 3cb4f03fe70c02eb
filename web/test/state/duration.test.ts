import { expect, test } from "vitest";
import { durationText, parseDuration } from "../../src/state/duration";

test.each([["90", 90], ["90s", 90], [" 15m ", 900], ["15 min", 900], ["2h", 7_200], ["1h30m", 5_400], ["1d 2 hours", 93_600], ["0", 0], ["7D", 604_800]])("%s is read as %i seconds", (text, seconds) =>
  expect(parseDuration(text)).toBe(seconds));

test.each(["", " ", "soon", "-5", "1.5h", "5 weeks", "m5", "1h nonsense", "1e9", "9999999999999"])("%s is no duration", (text) => expect(parseDuration(text)).toBeUndefined());

test.each([[0, "0s"], [59, "59s"], [900, "15m"], [5_400, "1h30m"], [86_400, "1d"], [93_661, "1d2h1m1s"]])("%i seconds are written as %s, which reads back", (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
  expect(parseDuration(text)).toBe(seconds);
});
