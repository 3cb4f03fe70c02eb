// What a person must see and be able to do on each screen, with the data of a finished story.
import { describe, expect, test } from "vitest";
import { DeviceScreen } from "../../src/screens/device";
import { DevicesScreen } from "../../src/screens/devices";
import { OverviewScreen, subjectHref } from "../../src/screens/overview";
import { bound, checkParts, ReleaseScreen } from "../../src/screens/release";
import { ReleasesScreen } from "../../src/screens/releases";
import { RolloutScreen } from "../../src/screens/rollout";
import { RolloutsScreen } from "../../src/screens/rollouts";
import { SignInScreen } from "../../src/screens/sign-in";
import { classesMax, classRows, TelemetryScreen } from "../../src/screens/telemetry";
import { coalesceMs, heard } from "../../src/state/live";
import { session, sessionNote } from "../../src/state/session";
import * as fixtures from "../fixtures";
import { button, click, column, hrefs, inTheWorld, passes, server, settle, show, text, type, visit } from "../support";

inTheWorld({ timers: true });

describe("overview", () => {
  test("counts the fleet and leads to what is counted", async () => {
    const page = await show(<OverviewScreen />);
    expect([...page.querySelectorAll(".tile")].map((tile) => [text(tile.querySelector(".tile-label")), text(tile.querySelector(".tile-value")), tile.getAttribute("href")])).toEqual([
      ["Devices online", "38 / 40", "/devices"], ["Updating", "5", "/devices?state=updating"], ["Need attention", "1", "/devices?state=attention"], ["Latency p99", "1.50 ms", "/telemetry"], ["Inferences", "1,204,331", "/telemetry"],
    ]);
  });
  test("says what needs a person, with reason and link", async () => {
    const page = await show(<OverviewScreen />);
    const first = page.querySelector(".attention li")!;
    expect(text(first)).toContain("rollout failed");
    expect(text(first)).toContain("rollout.failures more devices failed than allowed");
    expect(hrefs(first)).toEqual(["/rollouts/ro-51aa"]);
    expect(page.querySelectorAll(".attention li")).toHaveLength(3);
  });
  test("what has always been so is not said to have begun never", async () => {
    server.answers["/overview"] = { ...fixtures.overview, attention: [{ kind: "trust_missing", severity: "error", subject: "trust:", text: "no trust root yet", since_ms: 0, reason: "" }] };
    expect(text((await show(<OverviewScreen />)).querySelector(".attention"))).toBe("trust missing no trust root yet");
  });
  test.each([["rollout:ro-1", "/rollouts/ro-1"], ["device:dev:1", "/devices/dev%3A1"], ["trust:m", undefined], ["javascript:alert(1)", undefined], ["", undefined]])("the subject %s leads to %s", (subject, href) => expect(subjectHref(subject)).toBe(href));
  test("shows running rollouts and which release is on how many devices", async () => {
    const labels = [...(await show(<OverviewScreen />)).querySelectorAll("svg[role=img]")].map((svg) => svg.getAttribute("aria-label"));
    expect(labels).toEqual(["Devices of rollout fashion-mnist 1.1.0 → 1.4.0: 21 committed, 2 trial, 1 staged, 3 downloading, 1 rolled back, 12 waiting", "Devices of fashion-mnist by release: 21 1.4.0, 17 1.1.0, 1 1.0.0, 1 no release"]);
  });
  test("changes in place when something changed", async () => {
    const page = await show(<OverviewScreen />);
    const tile = page.querySelector(".tile-value")!;
    server.answers["/overview"] = { ...fixtures.overview, devices: { ...fixtures.overview.devices, online: 39 } };
    heard({ topic: "devices", kind: "changed", id: "dev-1" });
    await passes(coalesceMs);
    expect(text(tile)).toBe("39 / 40");
  });
});

describe("devices", () => {
  test("shows state, release, slot, variant and what is assigned", async () => {
    const page = await show(<DevicesScreen />);
    expect(column(page, "Devices", "State")).toEqual(["new", "attention", "updating", "ok", "offline"]);
    expect(column(page, "Devices", "Runs")[2]).toBe("fashion-mnist 1.1.0 → 1.4.0");
    expect(column(page, "Devices", "Slot")[1]).toBe("A");
    expect(text(page.querySelector("[role=search]"))).toContain("5 devices");
  });
  test("asks the server when the typing rests, and keeps what is typed in the address", async () => {
    const page = await show(<DevicesScreen />);
    const asked = server.calls.length;
    for (const typed of ["o", "os", "oslo & co"]) await type(page.querySelector<HTMLInputElement>("#q")!, typed);
    expect(server.calls).toHaveLength(asked);
    await passes(200);
    expect(server.calls.slice(asked).map((call) => call.path)).toEqual(["/devices?limit=100&q=oslo%20%26%20co"]);
    expect(window.location.search).toBe("?q=oslo+%26+co");
    expect(page.querySelector<HTMLInputElement>("#q")!.value).toBe("oslo & co");
  });
  test("filters by state from the address, also by one it does not know", async () => {
    visit("/devices?state=attention");
    const page = await show(<DevicesScreen />);
    expect(server.calls[0]!.path).toBe("/devices?limit=100&state=attention");
    expect(page.querySelector<HTMLSelectElement>("#state")!.value).toBe("attention");
    visit("/devices?state=odd");
    await settle();
    expect(page.querySelector<HTMLSelectElement>("#state")!.value).toBe("odd");
  });
  test("that none fits are no invitation to enrol", async () => {
    visit("/devices?q=nothing");
    server.answers["/devices"] = fixtures.list([]);
    const page = await show(<DevicesScreen />);
    expect(text(page)).toContain("No device fits this filter.");
    expect(page.querySelector("details")).toBeNull();
  });
  test("enrols: a token, once, with the line to run", async () => {
    server.answers["/devices"] = fixtures.list([]);
    server.on("POST /tokens", { status: 201, body: { id: "tok-1", token: "ferry1.abc", expires_ms: 0 } });
    const page = await show(<DevicesScreen />);
    await click(button(page, "Create an enrolment token"));
    expect(server.asked("POST", "/tokens")[0]!.body).toEqual({ uses: 1, ttl_s: 3600 });
    expect(text(page.querySelector(".command code"))).toBe("ferry-agent enroll --token ferry1.abc");
    expect(text(page.querySelector("[role=status]:not(.dim)")) || text(page)).toContain("Waiting for the device");
  });
  test("says why there is no token", async () => {
    server.answers["/devices"] = fixtures.list([]);
    server.on("POST /tokens", { status: 409, body: { title: "Conflict", code: "trust_missing", detail: "publish the trust root first" } });
    const page = await show(<DevicesScreen />);
    await click(button(page, "Create an enrolment token"));
    expect(text(page.querySelector("[role=alert]"))).toContain("publish the trust root first");
  });
  test("a viewer is told that enrolling is not theirs", async () => {
    session.value = { ...fixtures.session, role: "viewer" };
    server.answers["/devices"] = fixtures.list([]);
    const page = await show(<DevicesScreen />);
    expect(button(page, "Create an enrolment token").disabled).toBe(true);
    expect(text(page)).toContain("This needs the role operator.");
  });
});

describe("device", () => {
  const slots = (page: Element) => [...page.querySelectorAll(".slot")].map((slot) => [text(slot.querySelector(".slot-name")), text(slot.querySelector(".status")), text(slot.querySelector(".slot-release"))]);
  test("shows both slots, what is active, what it would fall back to, and why this variant", async () => {
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    expect(slots(page)).toEqual([["Slot A", "active", "fashion-mnist 1.4.0"], ["Slot B", "standby", "fashion-mnist 1.1.0"]]);
    expect(text(page.querySelector(".slot"))).toContain(`int8 lowest expected p99 (903 us on ${fixtures.hardwareClass}) of 2 variants that fit`);
  });
  test("shows a candidate while it is proved", async () => {
    expect(slots(await show(<DeviceScreen id={fixtures.candidateDevice.id} />))).toEqual([["Slot A", "candidate, shadow", "fashion-mnist 1.4.0"], ["Slot B", "active", "fashion-mnist 1.1.0"]]);
  });
  test("shows an empty slot as empty", async () => {
    server.answers[`/devices/${fixtures.deviceId}`] = { ...fixtures.device, models: [{ ...fixtures.device.models[0]!, active: undefined, slots: { a: null, b: null } }] };
    expect(slots(await show(<DeviceScreen id={fixtures.deviceId} />))).toEqual([["Slot A", "empty", "Nothing here"], ["Slot B", "empty", "Nothing here"]]);
  });
  test("shows what it rejected, and why", async () => {
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    expect(column(page, "Releases of fashion-mnist rejected by this device", "Release")).toEqual(["1.3.0"]);
    expect(column(page, "Releases of fashion-mnist rejected by this device", "Reason")).toEqual(["trial.memory more memory than its budget"]);
  });
  test("tells its timeline with every event, telemetry and identity", async () => {
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    const alone = [...page.querySelectorAll(".entry")].filter((entry) => !entry.querySelector(".step")).length;
    expect(page.querySelectorAll(".step").length + alone).toBe(fixtures.timeline.items.length);
    expect(column(page, "Telemetry of this device by release", "Accuracy")).toEqual(["90.8 %", "90.0 %"]);
    expect(text(page)).toContain("Intel(R) Xeon(R) Platinum 8481C, 2 cores");
    expect(text(page)).toContain("until 2027-02-22");
  });
  test("is shown at once with its timeline, and without it when only the timeline cannot be read", async () => {
    const timeline = `GET /devices/${fixtures.deviceId}/timeline`;
    server.on(timeline, () => new Promise(() => undefined));
    expect((await show(<DeviceScreen id={fixtures.deviceId} />)).querySelector(".slot")).toBeNull();
    server.on(timeline, { status: 503, body: { title: "Unavailable", detail: "busy" } });
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    expect(page.querySelectorAll(".slot")).toHaveLength(2);
    expect(text(page.querySelector("[role=alert]"))).toContain("busy");
  });
  test("is read again when it changed, and not when another did", async () => {
    await show(<DeviceScreen id={fixtures.deviceId} />);
    const asked = server.calls.length;
    heard({ topic: "devices", kind: "changed", id: "dev-other" });
    await passes(coalesceMs);
    expect(server.calls).toHaveLength(asked);
    heard({ topic: "devices", kind: "changed", id: fixtures.deviceId });
    await passes(coalesceMs);
    expect(server.calls.slice(asked).map((call) => call.path.split("?")[0])).toEqual([`/devices/${fixtures.deviceId}`, `/devices/${fixtures.deviceId}/timeline`]);
  });
  test("is revoked after a question, by an admin only", async () => {
    server.on(`POST /devices/${fixtures.deviceId}:revoke`, { body: { ...fixtures.device, state: "revoked" } });
    const page = await show(<DeviceScreen id={fixtures.deviceId} />);
    await click(button(page, "Revoke"));
    expect(text(page.querySelector("dialog"))).toContain("Its certificate is refused from now on");
    await click(page.querySelector<HTMLButtonElement>("dialog button[type=submit]")!);
    expect(server.asked("POST", "/devices")).toHaveLength(1);
    session.value = { ...fixtures.session, role: "operator" };
    expect(button(await show(<DeviceScreen id={fixtures.deviceId} />), "Revoke").disabled).toBe(true);
  });
  test("that does not exist says so", async () => expect(text((await show(<DeviceScreen id="dev-gone" />)).querySelector("[role=alert]"))).toContain("/devices/dev-gone: no such object"));
});

describe("releases", () => {
  test("are listed with state, gate, variants and adoption", async () => {
    const page = await show(<ReleasesScreen />);
    expect(column(page, "Releases", "Release")).toEqual(["fashion-mnist 1.4.0", "fashion-mnist 1.3.0", "fashion-mnist 1.1.0", "fashion-mnist 1.0.0"]);
    expect(column(page, "Releases", "State")).toEqual(["rolling out", "quarantined", "current", "superseded"]);
    expect(column(page, "Releases", "CI gate")).toEqual(["passed", "passed", "passed", "passed"]);
    expect(column(page, "Releases", "Devices on it")[0]).toBe("21 / 40");
  });
  test("of CI say that their signature was verified, and show each check with its numbers", async () => {
    const page = await show(<ReleaseScreen model="fashion-mnist" version="1.4.0" />);
    const table = "Checks of the CI gate";
    expect(text(page)).toContain("signature verified by this server just now");
    expect(column(page, table, "Check")[1]).toBe(`accuracy.top1 int8${fixtures.hardwareClass}`);
    expect(column(page, table, "Measured").slice(0, 4)).toEqual(["91.04 %", "90.85 %", "0.40 %", "1.51 ms"]);
    expect(column(page, table, "Bound").slice(0, 4)).toEqual(["≥ 90.55 %", "≥ 90.36 %", "-0.21 % … 1.01 %", "≤ 1.70 ms"]);
    expect(column(page, table, "Limit").slice(0, 4)).toEqual(["≥ 85.00 %", "≥ 85.00 %", "≥ -1.00 %", "≤ 50.0 ms"]);
    expect(column(page, table, "n")[0]).toBe("10,000");
    expect(column(page, "Variants", "Size")).toEqual(["402.7 KiB", "115.4 KiB"]);
  });
  test("whose attestation no longer counts say why", async () => {
    server.answers["/releases/fashion-mnist/1.4.0"] = { ...fixtures.release, gate: { ...fixtures.release.gate, verified: false, error: "attestation: 400 days old, 365 are allowed" } };
    const page = await show(<ReleaseScreen model="fashion-mnist" version="1.4.0" />);
    expect(text(page.querySelector("[role=alert]"))).toContain("400 days old");
    expect(text(page)).toContain("not verified");
  });
  test("that no rollout has used come with the line that starts one", async () => {
    server.answers["/releases/fashion-mnist/1.4.0"] = { ...fixtures.release, rollouts: [] };
    expect(text((await show(<ReleaseScreen model="fashion-mnist" version="1.4.0" />)).querySelector(".command code"))).toBe("ferry rollout create fashion-mnist@1.4.0");
  });
  test.each([
    ["accuracy.top1@x86_64-avx2-2c-16g-cpu/fp32", { check: "accuracy.top1", hardware: "x86_64-avx2-2c-16g-cpu", variant: "fp32" }], ["contract.fits", { check: "contract.fits", hardware: "", variant: "" }],
    ["a@b", { check: "a", hardware: "b", variant: "" }],
  ])("the check %s is taken apart", (id, parts) => expect(checkParts(id)).toEqual(parts));
  test("a bound that a check does not have is a dash", () => expect(bound({ id: "", unit: "us", value: 1, threshold: 1, op: "<=", n: 1, verdict: "pass", detail: "" })).toBe("–"));
});

describe("rollouts", () => {
  test("are listed with state, reason and progress", async () => {
    const page = await show(<RolloutsScreen />);
    expect(column(page, "Rollouts", "Rollout")).toEqual(["fashion-mnist 1.1.0 → 1.4.0 ro-7d1e", "fashion-mnist 1.1.0 → 1.3.0 ro-51aa", "autumn ro-2c40"]);
    expect(column(page, "Rollouts", "State")[1]).toBe("failed rollout.failures more devices failed than allowed");
    expect(column(page, "Rollouts", "Committed")).toEqual(["21 / 40", "0 / 4", "17 / 17"]);
  });
  test("show phases, failures, devices and every verdict", async () => {
    const page = await show(<RolloutScreen id="ro-7d1e" />);
    expect([...page.querySelectorAll(".phase")].map((phase) => text(phase.querySelector("p")))).toEqual(["Phase 1: 10 % done 4 devices, soak 60 s", "Phase 2: 50 % running 20 devices, soak 10 min", "Phase 3: 100 % waiting 40 devices"]);
    expect(page.querySelectorAll("[aria-current=step]")).toHaveLength(1);
    expect(text(page)).toContain("trial.latency slower than its budget 1 device");
    expect(column(page, "Verdict log", "Decision")).toEqual(["soak", "advance", "start"]);
    expect(column(page, "Verdict log", "By")).toEqual(["the engine", "the engine", "ci"]);
    expect(column(page, "Devices of this rollout", "State")).toEqual(["committed", "trial", "rolled back", "waiting"]);
  });
  const act = async (page: Element, name: string, reason = "") => {
    await click(button(page, name));
    const dialog = [...page.querySelectorAll("dialog")].find((d) => d.open)!;
    if (reason) await type(dialog.querySelector("input")!, reason);
    await click(dialog.querySelector<HTMLButtonElement>("button[type=submit]")!);
    return dialog;
  };
  test("are paused for the revision that was seen, with the reason, after saying what it means for whom", async () => {
    server.on("POST /rollouts/ro-7d1e:pause", { body: { ...fixtures.rollout, state: "paused" } });
    const page = await show(<RolloutScreen id="ro-7d1e" />);
    await click(button(page, "Pause"));
    expect([...page.querySelectorAll("dialog[open] li")].map(text)).toEqual(["12 waiting: stay on the old release until you resume", "6 on their way: finish what they began", "21 committed: keep 1.4.0"]);
    await click(button(page.querySelector("dialog[open]")!, "Cancel"));
    server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, state: "paused", revision: 6 };
    await act(page, "Pause", "lunch");
    const call = server.asked("POST", "/rollouts/ro-7d1e:pause")[0]!;
    expect([call.headers["If-Match"], call.body]).toEqual(['"5"', { reason: "lunch" }]);
    expect(text(page.querySelector(".title"))).toContain("paused");
    expect(() => button(page, "Pause")).toThrow();
    expect(button(page, "Resume").disabled).toBe(false);
  });
  test("that somebody else has changed are read again, and the question says so", async () => {
    server.on("POST /rollouts/ro-7d1e:abort", { status: 412, body: { title: "Precondition failed", code: "precondition_failed", detail: "revision is 6" } });
    const page = await show(<RolloutScreen id="ro-7d1e" />);
    server.answers["/rollouts/ro-7d1e"] = { ...fixtures.rollout, revision: 6 };
    const dialog = await act(page, "Abort");
    expect(text(dialog.querySelector("[role=alert]"))).toBe("Someone else changed it. Since you looked: it has moved on by itself. Nothing was done. What is said above holds for what is there now: confirm again if it is still right.");
    server.on("POST /rollouts/ro-7d1e:abort", { body: fixtures.rollout });
    await click(dialog.querySelector<HTMLButtonElement>("button[type=submit]")!);
    expect(server.asked("POST", "/rollouts/ro-7d1e:abort").map((call) => call.headers["If-Match"])).toEqual(['"5"', '"6"']);
    expect(server.asked("POST", "/rollouts/ro-7d1e:abort")[0]!.body).toEqual({});
  });
  test("offer a viewer nothing, and say why", async () => {
    session.value = { ...fixtures.session, role: "viewer" };
    const page = await show(<RolloutScreen id="ro-7d1e" />);
    expect([...page.querySelectorAll<HTMLButtonElement>(".actions > button")].map((b) => b.disabled)).toEqual([true, true, true, true]);
    expect(text(page.querySelector(".actions"))).toContain("These need the role operator.");
  });
});

describe("telemetry", () => {
  test("shows each release with its numbers, and the charts of those that have data", async () => {
    const page = await show(<TelemetryScreen />);
    expect(column(page, "Telemetry by release", "Release")).toEqual(["1.4.0", "1.3.0", "1.1.0"]);
    expect(column(page, "Telemetry by release", "p99")).toEqual(["903 µs", "1.80 ms", "1.50 ms"]);
    expect(column(page, "Telemetry by release", "Accuracy")).toEqual(["90.8 %", "–", "90.0 %"]);
    const charts = [...page.querySelectorAll("svg[role=img]")].map((svg) => svg.getAttribute("aria-label")!);
    expect(charts.map((chart) => chart.split(",")[0])).toEqual(["p99 of inferences", "Right answers of labelled ones", "Inferences per minute", "Failed inferences"]);
    expect(charts.every((chart) => chart.includes("1.4.0") && !chart.includes("1.3.0"))).toBe(true);
  });
  test("of another time is asked for and stands in the address", async () => {
    const page = await show(<TelemetryScreen />);
    await type(page.querySelector<HTMLSelectElement>("#window")!, "86400");
    expect(server.asked("GET", "/telemetry?").map((call) => call.path)).toEqual(["/telemetry?model=fashion-mnist&window_s=3600", "/telemetry?model=fashion-mnist&window_s=86400"]);
    expect(window.location.search).toBe("?window=86400");
  });
  test("is read again every ten seconds: the server sends no hints about it", async () => {
    await show(<TelemetryScreen />);
    const asked = server.asked("GET", "/telemetry?").length;
    await passes(20_000);
    expect(server.asked("GET", "/telemetry?")).toHaveLength(asked + 2);
  });
  test("shows each release on each hardware class, also on one that was not told", async () => {
    const page = await show(<TelemetryScreen />);
    const table = "By release and hardware class, since each device took the release";
    expect(column(page, table, "Release")).toEqual(["1.1.0", "1.4.0", "1.4.0"]);
    expect(column(page, table, "Hardware class").at(-1)).toBe("not told");
    expect(column(page, table, "p99")).toEqual(["1.50 ms", "900 µs", "1.90 ms"]);
    expect(column(page, table, "Accuracy")).toEqual(["90.0 %", "91.0 %", "–"]);
  });
  test("compares how often each release answers each class", async () => {
    const page = await show(<TelemetryScreen />);
    const table = "Share of each class in a release's answers";
    expect(column(page, table, "Class")).toEqual(fixtures.telemetry.labels);
    expect(column(page, table, "1.4.0").slice(0, 2)).toEqual(["10.4 %", "9.9 %"]);
    expect(column(page, table, "1.3.0")).toEqual([]);
  });
  test("of a thousand classes shows the most frequent, and names those that have no label by number", async () => {
    const classes = Array.from({ length: 1_000 }, (_, i) => (i === 777 ? 500 : 1));
    server.answers["/telemetry"] = { ...fixtures.telemetry, labels: ["a"], releases: [{ ...fixtures.telemetry.releases[0]!, classes }] };
    const page = await show(<TelemetryScreen />);
    const shown = column(page, "Share of each class in a release's answers", "Class");
    expect([shown.length, shown[0]]).toEqual([classesMax, "class 777"]);
    expect(text(page)).toContain("The 20 most frequent of 1,000 classes.");
    expect(classRows(["a"], [])).toEqual([]);
  });
  test("without a model says so", async () => {
    server.answers["/models"] = fixtures.list([]);
    expect(text(await show(<TelemetryScreen />))).toContain("No model is published yet.");
  });
});

describe("signing in", () => {
  test("needs a token, and says when it is not accepted", async () => {
    session.value = null;
    sessionNote.value = "";
    server.on("POST /session", { status: 401, body: { title: "Unauthorized", code: "denied", detail: "no valid credential" } });
    const page = await show(<SignInScreen />);
    const submit = page.querySelector<HTMLButtonElement>("button[type=submit]")!;
    expect(submit.disabled).toBe(true);
    await type(page.querySelector<HTMLInputElement>("#token")!, "wrong");
    await click(submit);
    expect(text(page.querySelector("[role=alert]"))).toContain("This token is not known, or has expired.");
    expect(page.querySelector<HTMLInputElement>("#token")!.type).toBe("password");
    server.on("POST /session", { body: fixtures.session });
    await click(submit);
    expect(session.value).toEqual(fixtures.session);
  });
  test("says why one has to sign in again", async () => {
    sessionNote.value = "Your session has ended.";
    expect(text((await show(<SignInScreen />)).querySelector("[role=status]"))).toBe("Your session has ended.");
    sessionNote.value = "";
  });
});
