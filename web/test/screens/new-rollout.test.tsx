// Planning a rollout: the form is the address, a dry run says who gets what, the server's refusals stand at their fields, and
// nothing is made before the question was answered.
import { describe, expect, test } from "vitest";
import { dryRunRows } from "../../src/components/dry-run";
import { NewRolloutScreen } from "../../src/screens/new-rollout";
import { ReleaseScreen } from "../../src/screens/release";
import { RolloutsScreen } from "../../src/screens/rollouts";
import { typingMs } from "../../src/state/new-rollout";
import { session } from "../../src/state/session";
import * as fixtures from "../fixtures";
import { button, click, column, hrefs, inTheWorld, passes, server, settle, show, text, type, visit } from "../support";

inTheWorld({ timers: true });

const dryRun = "POST /rollouts";
const asksDry = (path: string) => path.includes("dry_run=true");
// One route answers both: what a dry run says, and what is made.
function answers(made: () => { status?: number; body: unknown } = () => ({ status: 201, body: fixtures.waiting.awaiting }), dry: () => { status?: number; body: unknown } = () => ({ body: fixtures.dryRun })): void {
  server.on(dryRun, (call) => (asksDry(call.path) ? dry() : made()));
}
const refusal = (detail: string, status = 400, code = "bad_input") => ({ status, body: { title: "Bad Request", status, code, detail } });

async function form(query = ""): Promise<Element> {
  visit(`/rollouts/new?model=fashion-mnist&version=1.4.0${query}`);
  const page = await show(<NewRolloutScreen />);
  await passes(typingMs);
  return page;
}
const field = (page: Element, label: string): HTMLInputElement => {
  const found = [...page.querySelectorAll("label")].find((one) => text(one) === label);
  if (!found) throw new Error(`no field "${label}"`);
  return page.querySelector<HTMLInputElement>(`[id="${found.htmlFor}"]`)!;
};
const problemAt = (page: Element, label: string) => {
  const input = field(page, label);
  return [input.getAttribute("aria-invalid"), ...(input.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id.endsWith("-problem")).map((id) => text(page.querySelector(`[id="${id}"]`)))];
};
const last = (page: Element) => page.querySelector<HTMLDialogElement>("dialog[open]");
const made = () => server.asked("POST", "/rollouts").filter((call) => !asksDry(call.path));

describe("the way there", () => {
  test("leads from a release with that release, and from the rollouts", async () => {
    expect(hrefs(await show(<ReleaseScreen model="fashion-mnist" version="1.4.0" />))).toContain("/rollouts/new?model=fashion-mnist&version=1.4.0");
    expect(hrefs(await show(<RolloutsScreen />))).toContain("/rollouts/new");
  });
});

describe("the form", () => {
  test("offers the models and the releases of the one that is chosen", async () => {
    const page = await form();
    expect([...field(page, "Model").querySelectorAll("option")].map(text)).toEqual(["choose…", "fashion-mnist"]);
    expect([...field(page, "Release").querySelectorAll("option")].map(text)).toEqual(["choose…", "1.4.0", "1.3.0 (quarantined)", "1.1.0", "1.0.0"]);
    expect(field(page, "Release").value).toBe("1.4.0");
  });
  test("takes the only model there is without being asked", async () => {
    visit("/rollouts/new");
    expect(field(await show(<NewRolloutScreen />), "Model").value).toBe("fashion-mnist");
  });
  test("counts who matches when the typing rests", async () => {
    answers();
    const page = await form();
    expect(text(page.querySelector(".matching"))).toBe("4 devices match now");
    const asked = server.asked("POST", "/rollouts?dry_run=true").length;
    for (const typed of ["label.s", "label.site=oslo"]) await type(field(page, "Selector"), typed);
    await passes(typingMs);
    const calls = server.asked("POST", "/rollouts?dry_run=true").slice(asked);
    expect(calls.map((call) => (call.body as { selector: string }).selector)).toEqual(["label.site=oslo"]);
    expect(calls[0]!.headers["Ferry-CSRF"]).toBe("1");
  });
  test("says what is wrong with a selector while it is typed", async () => {
    answers(undefined, () => refusal("selector: \"site\": expected label.<name>=<value>"));
    const page = await form("&selector=site");
    expect(problemAt(page, "Selector")).toEqual(["true", "\"site\": expected label.<name>=<value>"]);
  });
  test("says why it does not know how many match", async () => {
    answers(undefined, () => refusal("fashion-mnist has a rollout that is not over: ro-7d1e", 409, "rollout_active"));
    expect(text((await form()).querySelector(".matching"))).toBe("How many match is not known: fashion-mnist has a rollout that is not over: ro-7d1e");
    visit("/rollouts/new");
    expect(text((await show(<NewRolloutScreen />)).querySelector(".matching"))).toBe("Choose a release to see how many devices match");
  });
  test("is the address: what is typed goes there, and back comes back to it", async () => {
    const page = await form();
    await type(field(page, "Failed devices allowed"), "3");
    await passes(typingMs);
    expect(window.location.search).toBe("?model=fashion-mnist&version=1.4.0&failures=3");
    visit("/rollouts/new?model=fashion-mnist&version=1.1.0&failures=7");
    await settle();
    expect([field(page, "Failed devices allowed").value, field(page, "Release").value]).toEqual(["7", "1.1.0"]);
  });
  test("edits phases as a list, and says how many devices each is", async () => {
    answers();
    const page = await form();
    expect([...page.querySelectorAll(".phase-row .phase-devices")].map(text)).toEqual(["1 of 4", "2 of 4"]);
    await click(button(page, "Add phase"));
    await type(field(page, "Size of phase 3"), "3");
    await type(field(page, "Phase 3 is measured in") as unknown as HTMLSelectElement, "devices");
    await type(field(page, "then soak of phase 3"), "2h");
    await click(button(page, "Remove phase 1"));
    await passes(typingMs);
    expect(new URLSearchParams(window.location.search).getAll("phase")).toEqual(["percent:50:10m", "devices:3:2h"]);
    expect(text(page.querySelector(".phase-row:nth-child(2) .phase-devices"))).toBe("3 of 4");
  });
  test("judges by a live gate when there is a release to compare with, and not when there is none", async () => {
    expect(field(await form(), "Judge canaries against controls").checked).toBe(true);
    server.answers["/models"] = fixtures.list([{ ...fixtures.models.items[0]!, current: "" }]);
    const page = await form();
    expect(field(page, "Judge canaries against controls").checked).toBe(false);
    expect(text(page.querySelector("#plan-gate-hint"))).toContain("This model has no current release");
  });
  test("lifts a quarantine only on a word of its own", async () => {
    answers();
    visit("/rollouts/new?model=fashion-mnist&version=1.3.0");
    const page = await show(<NewRolloutScreen />);
    expect(text(page.querySelector(".note-warn"))).toContain("1.3.0 is quarantined: it failed in an earlier rollout.");
    await click(field(page, "Lift the quarantine"));
    await click(button(page, "Dry run"));
    expect(server.asked("POST", "/rollouts?dry_run=true").at(-1)!.body).toMatchObject({ version: "1.3.0", lift_quarantine: true });
  });
  test("shows the same for a terminal", async () => {
    const page = await form("&selector=label.site%3Doslo");
    expect(text(page.querySelector(".command code"))).toBe("ferry rollout create fashion-mnist@1.4.0 --selector label.site=oslo --policy rollout.toml");
    expect(page.querySelector(".toml")!.textContent).toContain("[[phases]]\npercent = 10\nsoak_s = 600\n");
  });
  test("a viewer may look, and is told what is missing", async () => {
    session.value = { ...fixtures.session, role: "viewer" };
    const page = await form();
    expect([button(page, "Dry run").disabled, button(page, "Create rollout").disabled]).toEqual([true, true]);
    expect(text(page.querySelector(".plan-actions"))).toContain("This needs the role publisher or operator.");
    expect(server.asked("POST", "/rollouts")).toEqual([]);
  });
});

describe("a dry run", () => {
  test("lists each device with its phase, arm and variant, and makes nothing", async () => {
    answers();
    const page = await form();
    await click(button(page, "Dry run"));
    const table = "What each device would get";
    expect(column(page, table, "Device")).toEqual(fixtures.dryRun.items.map((one) => one.device));
    expect(column(page, table, "Phase")).toEqual(["1", "2", "3", "3"]);
    expect(column(page, table, "Arm")).toEqual(["canary", "–", "control", "–"]);
    expect(column(page, table, "Variant")).toEqual(["int8", "fp32", "int8", "none"]);
    expect(column(page, table, "Reason")[3]).toBe("variant.none no variant fits this device");
    expect([...page.querySelectorAll(".waves li")].map(text)).toEqual(["Phase 1 10 % 1 device", "Phase 2 50 % 1 device", "Phase 3 everybody else 2 devices"]);
    expect(text(page)).toContain("1 device cannot run it:");
    expect(made()).toEqual([]);
  });
  test("of many devices is shown piece by piece", async () => {
    const items = Array.from({ length: 120 }, (_, i) => ({ ...fixtures.dryRun.items[0]!, device: `dev-${i}` }));
    answers(undefined, () => ({ body: { selected: 5_000, phases: [{ devices: 500 }, { devices: 2_500 }, { devices: 5_000 }], items, truncated: true } }));
    const page = await form();
    await click(button(page, "Dry run"));
    await click(button(page, "Next devices"));
    expect(column(page, "What each device would get", "Device")[0]).toBe(`dev-${dryRunRows}`);
    expect(text(page)).toContain("51 to 100 of 120");
    expect(text(page)).toContain("The first 120 of 5,000 devices are listed.");
  });
  test("that matches nobody says so", async () => {
    answers(undefined, () => ({ body: { selected: 0, phases: [], items: [], truncated: false } }));
    const page = await form("&selector=label.site%3Dnowhere");
    await click(button(page, "Dry run"));
    expect(text(page)).toContain("No device matches label.site=nowhere.");
  });
  test("no longer holds once the form has changed", async () => {
    answers();
    const page = await form();
    await click(button(page, "Dry run"));
    await type(field(page, "Failed devices allowed"), "3");
    expect(text(page)).not.toContain("Nothing was made.");
  });
});

describe("what is wrong", () => {
  test("stands at its field before the server is asked, and is brought into view", async () => {
    const page = await form("&failures=many&timeout=soon");
    const asked = server.calls.length;
    await click(button(page, "Create rollout"));
    expect(problemAt(page, "Failed devices allowed")).toEqual(["true", "expected a whole number, found “many”"]);
    expect(problemAt(page, "Time for one device")[0]).toBe("true");
    expect(text(page.querySelector(".plan-actions"))).toContain("2 fields need other values.");
    expect(document.activeElement).toBe(field(page, "Failed devices allowed"));
    expect(server.calls).toHaveLength(asked);
  });
  test.each([
    ["policy: field 'failures_max': expected a whole number from 0 to 1000000, found 99000000", "Failed devices allowed", "expected a whole number from 0 to 1000000, found 99000000"],
    ["policy: phases[1]: percent: found 5, expected more than the phase before (10)", "Size of phase 2", "found 5, expected more than the phase before (10)"],
    ["policy: site_budget: field 'label': expected a string, found number", "Site label", "expected a string, found number"],
    ["policy: gate: judge: live gate policy: alpha_ppm: 900000, expected 1 to 500000", "Chance to fail a harmless release, in percent", "900000, expected 1 to 500000"],
    ["policy: field 'starts_at': in the past", "Start (UTC)", "in the past"],
  ])("as the server says it (%s) stands at “%s”", async (detail, label, problem) => {
    answers();
    const page = await form();
    answers(undefined, () => refusal(detail));
    await click(button(page, "Dry run"));
    expect(problemAt(page, label)).toEqual(["true", problem]);
    await type(field(page, label), "1");
    expect(problemAt(page, label)[0]).toBe(null);
  });
  test("with no field of its own stands above the buttons, whole", async () => {
    answers();
    const page = await form();
    answers(undefined, () => refusal("fashion-mnist has a rollout that is running: ro-7d1e", 409, "rollout_active"));
    await click(button(page, "Dry run"));
    expect(text(page.querySelector(".plan > .note-bad"))).toContain("fashion-mnist has a rollout that is running: ro-7d1e");
  });
  test("with the whole gate stands at the gate", async () => {
    answers();
    const page = await form();
    answers(undefined, () => refusal("policy: gate: fashion-mnist has no current release to compare with"));
    await click(button(page, "Dry run"));
    expect([...page.querySelectorAll(".field-problem")].map(text)).toContain("fashion-mnist has no current release to compare with");
  });
  test("a release that failed before asks for its quarantine to be lifted", async () => {
    answers();
    const page = await form();
    answers(undefined, () => refusal("1.4.0 failed in ro-51aa (rollout.failures)", 409, "release_quarantined"));
    await click(button(page, "Create rollout"));
    expect(text(page.querySelector(".note-warn"))).toContain("1.4.0 is quarantined: 1.4.0 failed in ro-51aa (rollout.failures)");
    expect(field(page, "Lift the quarantine").checked).toBe(false);
  });
});

describe("creating", () => {
  test("asks first, and says what will happen in numbers", async () => {
    answers();
    const page = await form();
    await click(button(page, "Create rollout"));
    expect(text(last(page)!.querySelector("h2"))).toBe("Create this rollout?");
    expect(text(last(page)!.querySelector("li"))).toBe("4 devices matching * are to take fashion-mnist 1.4.0: first 1 device (10 %), watched for 10 min; then 1 device (50 %), watched for 10 min; then everybody else, 2 devices. Devices that match later get it too.");
    expect(made()).toEqual([]);
    await click(button(last(page)!, "Cancel"));
    expect([last(page), made()]).toEqual([null, []]);
  });
  test("sends exactly what the dry run was asked about, and shows the rollout", async () => {
    answers();
    const page = await form("&failures=2");
    await click(button(page, "Create rollout"));
    await click(button(last(page)!, "Create rollout"));
    expect(made()).toHaveLength(1);
    expect(made()[0]!.body).toEqual(server.asked("POST", "/rollouts?dry_run=true").at(-1)!.body);
    expect(made()[0]!.body).toMatchObject({ model: "fashion-mnist", version: "1.4.0", policy: { failures_max: 2 } });
    expect(window.location.pathname).toBe("/rollouts/ro-a001");
  });
  test("that the server refuses after all closes the question and says why at the field", async () => {
    answers(() => refusal("policy: field 'approvals': expected a whole number from 0 to 10, found 99"));
    const page = await form("&approvals=99");
    await click(button(page, "Create rollout"));
    await click(button(last(page)!, "Create rollout"));
    expect(last(page)).toBeNull();
    expect(problemAt(page, "Approvals needed")).toEqual(["true", "expected a whole number from 0 to 10, found 99"]);
  });
});
