import { describe, expect, test } from "vitest";
import { fieldOf, placeOf } from "../../src/state/problem-field";

// Details as server/rollout, common/json.cpp and telemetry/judge_policy.cpp write them.
describe("the member that a refusal is about", () => {
  test.each([
    ["policy: phases[0]: percent: found 0, expected more than the phase before (10)", "policy.phases[0].percent", "found 0, expected more than the phase before (10)"],
    ["policy: phases[1]: field 'soak_s': expected a whole number from 0 to 2592000, found string", "policy.phases[1].soak_s", "expected a whole number from 0 to 2592000, found string"],
    ["policy: field 'failures_max': expected a whole number from 0 to 1000000, found -1", "policy.failures_max", "expected a whole number from 0 to 1000000, found -1"],
    ["policy: phases: the last percent must be 100", "policy.phases", "the last percent must be 100"],
    ["selector: longer than 2048 bytes", "selector", "longer than 2048 bytes"],
    ["field 'selector': longer than 2048 bytes", "selector", "longer than 2048 bytes"],
    ["policy: gate: judge: live gate policy: p50.margin_uoct: -1, expected 0 to 3000000", "policy.gate.judge.p50.margin_uoct", "-1, expected 0 to 3000000"],
    ["policy: unknown field 'faliures_max': did you mean 'failures_max'?", "policy.faliures_max", "did you mean 'failures_max'?"],
    ["policy: window: days: \"friday\" is no day: mon, tue, …", "policy.window.days", "\"friday\" is no day: mon, tue, …"],
  ])("of “%s” is %s", (detail, path, text) => expect(fieldOf({ detail })).toEqual({ path, text }));
  test.each(["release fashion-mnist 9.9: not published (ferry release list shows what is)", "The server cannot be reached.", "", "JSON: malformed"])("of “%s” is none", (detail) =>
    expect(fieldOf({ detail })).toEqual({ path: "", text: detail }));
});

describe("the place where a refusal is shown", () => {
  const known = ["selector", "policy.phases", "policy.phases[0].percent", "policy.phases[0]", "policy.gate", "policy.gate.judge.alpha_ppm"];
  test.each([
    ["policy.phases[0].percent", "policy.phases[0].percent"], ["policy.phases[0].soak_s", "policy.phases[0]"], ["policy.phases[3].percent", "policy.phases"],
    ["policy.gate.judge.p50.margin_uoct", "policy.gate"], ["policy.gate.judge.alpha_ppm", "policy.gate.judge.alpha_ppm"], ["policy.gatekeeper", undefined], ["trial", undefined], ["", undefined],
  ])("of %s is %s", (path, place) => expect(placeOf(path, known)).toBe(place));
});
