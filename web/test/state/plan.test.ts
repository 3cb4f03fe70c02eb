import { describe, expect, test } from "vitest";
import operatorApi from "../../../docs/formats/operator-api.md?raw";
import { formOf, placesOf, planOf, queryOf, type PlanForm } from "../../src/state/plan";
import { planFields, readField } from "../../src/state/plan-fields";
import { createLine, policyToml } from "../../src/state/plan-toml";

const form = (query = "", part: Partial<PlanForm> = {}): PlanForm => ({ ...formOf(new URLSearchParams(`model=fashion-mnist&version=1.4.0&${query}`)), ...part });
const problemsOf = (query: string, gated = false) => Object.fromEntries(planOf(form(query), gated).problems);

describe("an untouched form", () => {
  test("has an empty address", () => expect(queryOf(formOf(new URLSearchParams())).toString()).toBe(""));
  test("is a careful rollout to everybody", () => {
    expect(planOf(form(), false).plan).toEqual({
      model: "fashion-mnist", version: "1.4.0", selector: "*",
      policy: { phases: [{ percent: 10, soak_s: 600 }, { percent: 50, soak_s: 600 }, { percent: 100, soak_s: 0 }], failures_max: 0, executed_min: 1, success_percent_min: 0, device_timeout_s: 900, in_flight_max: 0, approvals: 0 },
    });
  });
  test("with a live gate says its main numbers as the API takes them", () =>
    expect(planOf(form(), true).plan.policy.gate).toEqual({ warm_up_s: 60, judge: { pairs_pass_min: 20, age_pass_min_s: 7_200, age_max_s: 86_400, alpha_ppm: 50_000 } }));
  test("without a release says what is missing", () => expect([...planOf(formOf(new URLSearchParams()), false).problems.keys()]).toEqual(["model", "version"]));
});

const written = "selector=label.site%3Doslo%2Clabel.kind%3Dcamera&name=autumn&failures=2&failures_percent=20&executed=5&success=80&timeout=1h&in_flight=50&site_label=site&site_devices=1&penalty_failures=3&penalty_within=7d&starts_at=2026-11-26T02%3A00&approvals=2&from=22%3A00&to=05%3A00&strata=site%2C+kind&alpha=1&guarded=on&phase=devices%3A5%3A60s&phase=selector%3Alabel.ring%3Dearly%3A1h&last_soak=10m&days=mon%2Csun&gate=on&lift=on";

describe("a written form", () => {
  test("becomes the body of the API", () => {
    const { plan, problems } = planOf(form(written), true);
    expect([...problems]).toEqual([]);
    expect(plan).toEqual({
      model: "fashion-mnist", version: "1.4.0", selector: "label.site=oslo,label.kind=camera", name: "autumn", lift_quarantine: true,
      policy: {
        phases: [{ devices: 5, soak_s: 60 }, { selector: "label.ring=early", soak_s: 3_600 }, { percent: 100, soak_s: 600 }],
        failures_max: 2, failures_percent_max: 20, executed_min: 5, success_percent_min: 80, device_timeout_s: 3_600, in_flight_max: 50, site_budget: { label: "site", devices_max: 1 },
        penalty: { failures: 3, within_s: 604_800 }, starts_at: "2026-11-26T02:00:00Z", approvals: 2, window: { days: ["mon", "sun"], from: "22:00", to: "05:00" },
        gate: { warm_up_s: 60, strata: ["site", "kind"], judge: { pairs_pass_min: 20, age_pass_min_s: 7_200, age_max_s: 86_400, alpha_ppm: 10_000, accuracy_guarded: true } },
      },
    });
  });
  test("is its address, and comes back from it", () => {
    const whole = form(written);
    expect(formOf(queryOf(whole))).toEqual(whole);
    expect(formOf(new URLSearchParams(queryOf(whole).toString()))).toEqual(whole);
  });
  test("without any phase but everybody comes back too", () => expect(formOf(queryOf(form("phases=one"))).phases).toEqual([]));
  test("a window without days, or with all of them, is every day", () => {
    for (const days of ["", "&days=mon,tue,wed,thu,fri,sat,sun"]) expect(planOf(form(`from=01:00&to=05:00${days}`), false).plan.policy.window).toEqual({ from: "01:00", to: "05:00" });
  });
  test("with a percentage leaves the number out, unless one is allowed", () => {
    expect(planOf(form("failures_percent=20"), false).plan.policy).not.toHaveProperty("failures_max");
    expect(planOf(form("failures_percent=20&failures=3"), false).plan.policy.failures_max).toBe(3);
  });
  test("without the gate has no word of it", () => expect(planOf(form(written), false).plan.policy.gate).toBeUndefined());
  test.each(["phase=nonsense", "phase=percent", "days=someday", "gate=perhaps", "failures=", "phase=percent%3A10"])("an address nobody wrote (%s) is no accident", (query) => {
    expect(() => planOf(form(query), true)).not.toThrow();
  });
});

describe("what cannot be meant stands at its field", () => {
  test.each([
    ["failures=many", "policy.failures_max", "expected a whole number, found “many”"], ["timeout=soon", "policy.device_timeout_s", "expected a time like 90s, 15m, 2h or 1d, found “soon”"],
    ["site_label=site", "policy.site_budget.devices_max", "needed together with “Site label”"], ["from=01:00", "policy.window.to", "needed together with “From”"], ["penalty_within=1d", "policy.penalty.failures", "needed together with “Counted over”"],
    ["days=mon", "policy.window.from", "the days need a time of day"], ["phase=percent:x:10m", "policy.phases[0].percent", "expected a whole number, found “x”"], ["phase=percent:10:ever", "policy.phases[0].soak_s", "expected a time like 90s, 15m or 2h, found “ever”"],
    ["phase=selector::10m", "policy.phases[0].selector", "expected a selector like label.ring=early"], ["starts_at=tomorrow", "policy.starts_at", "expected a day and a time, found “tomorrow”"],
  ])("%s", (query, path, problem) => expect(problemsOf(query)).toEqual({ [path]: problem }));
  test("a gate needs canaries", () => expect(problemsOf("phases=one", true)).toEqual({ "policy.phases": "a live gate needs canaries: a phase before the last one" }));
  test("and every problem has a place on the page", () => {
    for (const query of ["failures=x&timeout=x&in_flight=x&site_label=a&from=25:00&phase=percent:x:x&phase=devices:x:1m&strata=A B&alpha=0&starts_at=x&last_soak=x"])
      for (const path of Object.keys(problemsOf(query, true))) expect(placesOf(form(query))).toContain(path);
  });
});

test.each([["count", "1e3"], ["count", "-1"], ["count", "1.5"], ["clock", "24:00"], ["clock", "1:00"], ["percent", "0"], ["percent", "100"], ["percent", "x"], ["names", "site,No"], ["instant", "2026-13-01T00:00"]] as const)("a %s is not “%s”", (kind, text) =>
  expect(readField(kind, text)).toHaveProperty("problem"));

test("no two fields share a name, in the address or in the body", () => {
  expect(new Set(planFields.map((one) => one.key)).size).toBe(planFields.length);
  expect(new Set(planFields.map((one) => one.path)).size).toBe(planFields.length);
});

test("the defaults of the live gate are those that the documents give", async () => {
  const verdict = (await import("../../../docs/formats/verdict.md?raw")).default;
  for (const [member, value] of [["pairs_pass_min", 20], ["age_pass_min_s", 7_200], ["age_max_s", 86_400], ["alpha_ppm", 50_000]]) expect(verdict).toContain(`\`${member}\` ${value}`);
  expect(operatorApi).toContain('"device_timeout_s": 900');
});

describe("for a terminal", () => {
  test("the plan is a TOML file and one line", () => {
    const { plan } = planOf(form("selector=label.site%3Doslo&name=it%27s&site_label=site&site_devices=1&lift=on"), true);
    expect(policyToml(plan)).toContain('[rollout]\nfailures_max = 0\n');
    expect(policyToml(plan)).toContain('[site_budget]\nlabel = "site"\ndevices_max = 1\n');
    expect(policyToml(plan)).toContain("[gate]\nwarm_up_s = 60\njudge = {pairs_pass_min = 20,");
    expect(policyToml(plan)).toContain("[[phases]]\npercent = 10\nsoak_s = 600\n\n[[phases]]\npercent = 50\n");
    expect(createLine(plan)).toBe("ferry rollout create fashion-mnist@1.4.0 --selector label.site=oslo --name 'it'\\''s' --lift-quarantine --policy rollout.toml");
  });
  test.each(["$(reboot)", "`id`", "a;b", "'; rm -rf / #", "a\nb", "*"])("what somebody typed (%s) stays one word of the shell", (text) => {
    const line = createLine({ model: "m", version: "1.0.0", selector: text, policy: {} });
    expect(line).toBe(text === "*" ? "ferry rollout create m@1.0.0 --policy rollout.toml" : `ferry rollout create m@1.0.0 --selector '${text.replace(/'/g, "'\\''")}' --policy rollout.toml`);
  });
  test("every part of the policy has the table that docs/cli.md names", async () => {
    const cli = (await import("../../../docs/cli.md?raw")).default;
    const tables = [...policyToml(planOf(form(written), true).plan).matchAll(/^\[+([a-z_]+)\]+$/gm)].map((found) => found[1]!);
    expect([...new Set(tables)].sort()).toEqual(["gate", "penalty", "phases", "rollout", "site_budget", "window"]);
    for (const name of tables) expect(cli).toContain(`[${name}]`);
  });
  test("a string of TOML cannot end early", () => expect(policyToml({ model: "m", version: "1", selector: "*", policy: { site_budget: { label: 'a"\nb = 1\u007f', devices_max: 1 } } })).toContain('label = "a\\"\\nb = 1\\u007f"'));
});
