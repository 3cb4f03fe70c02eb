// What holds for every screen: one heading, a title, something to see while it waits, when there is nothing, when it fails,
// and when the server hands out what an attacker wrote.
import type { ComponentChildren } from "preact";
import { describe, expect, test } from "vitest";
import { DeviceScreen } from "../../src/screens/device";
import { DevicesScreen } from "../../src/screens/devices";
import { NewRolloutScreen } from "../../src/screens/new-rollout";
import { NotFoundScreen } from "../../src/screens/not-found";
import { OverviewScreen } from "../../src/screens/overview";
import { ReleaseScreen } from "../../src/screens/release";
import { ReleasesScreen } from "../../src/screens/releases";
import { RolloutScreen } from "../../src/screens/rollout";
import { RolloutsScreen } from "../../src/screens/rollouts";
import { SignInScreen } from "../../src/screens/sign-in";
import { TelemetryScreen } from "../../src/screens/telemetry";
import * as fixtures from "../fixtures";
import { hrefs, inTheWorld, server, show, text } from "../support";

inTheWorld();

const screens: Record<string, { node: ComponentChildren; reads: string; empty?: unknown }> = {
  overview: { node: <OverviewScreen />, reads: "/overview", empty: { ...fixtures.overview, devices: { total: 0, online: 0, updating: 0, attention: 0, offline: 0, new: 0, revoked: 0 }, telemetry: { inferences: 0, errors: 0, p50_us: 0, p95_us: 0, p99_us: 0, window_s: 3_600 }, attention: [], rollouts: [], distribution: [], feed: [] } },
  devices: { node: <DevicesScreen />, reads: "/devices", empty: fixtures.list([]) },
  device: { node: <DeviceScreen id={fixtures.deviceId} />, reads: `/devices/${fixtures.deviceId}`, empty: { ...fixtures.newDevice, id: fixtures.deviceId } },
  releases: { node: <ReleasesScreen />, reads: "/releases", empty: fixtures.list([]) },
  release: { node: <ReleaseScreen model="fashion-mnist" version="1.4.0" />, reads: "/releases/fashion-mnist/1.4.0",
    empty: { ...fixtures.release, variants: [], rollouts: [], devices: { running: 0, total: 0 }, gate: { verified: false, result: "", keys_counted: 0, finished_ms: 0, error: "no attestation", attestations_sha256: "" } } },
  rollouts: { node: <RolloutsScreen />, reads: "/rollouts", empty: fixtures.list([]) },
  rollout: { node: <RolloutScreen id="ro-7d1e" />, reads: "/rollouts/ro-7d1e", empty: { ...fixtures.rollout, phases: [], failures: [], log: [], devices: {}, from_version: "" } },
  "gated rollout": { node: <RolloutScreen id="ro-9a01" />, reads: "/rollouts/ro-9a01/verdict",
    empty: { ...fixtures.verdicts.early, pairs: [], verdict: { ...fixtures.verdicts.early.verdict, reasons: [], groups: [], certificates: [] } } },
  "rollout that awaits approval": { node: <RolloutScreen id="ro-a001" />, reads: "/rollouts/ro-a001", empty: { ...fixtures.waiting.awaiting, approvals: [], phases: [], devices: {}, policy: {}, from_version: "" } },
  "paused rollout": { node: <RolloutScreen id="ro-a004" />, reads: "/rollouts/ro-a004", empty: { ...fixtures.waiting.changed, log: [], phases: [], failures: [], devices: {}, reason: "" } },
  "denied rollout": { node: <RolloutScreen id="ro-a003" />, reads: "/rollouts/ro-a003/devices", empty: fixtures.list([]) },
  "recalled rollout": { node: <RolloutScreen id="ro-9b02" />, reads: "/rollouts/ro-9b02", empty: { ...fixtures.recalledRollout, phases: [], failures: [], log: [], devices: {}, from_version: "", reason: "" } },
  "new rollout": { node: <NewRolloutScreen />, reads: "/models", empty: fixtures.list([]) },
  telemetry: { node: <TelemetryScreen />, reads: "/telemetry", empty: { ...fixtures.telemetry, releases: [] } },
  drift: { node: <TelemetryScreen />, reads: "/drift", empty: { ...fixtures.drift, cohorts: [], rollouts: [] } },
};

const headings = (page: Element) => [...page.querySelectorAll("h1")].map(text);

describe.each(Object.entries(screens))("the %s screen", (name, { node, reads, empty }) => {
  test("has one heading, a title of its own, headings in order, and names for everything that is pressed", async () => {
    const page = await show(node);
    expect(headings(page)).toHaveLength(1);
    expect(document.title).toMatch(/^.+ · Ferry$/);
    const levels = [...page.querySelectorAll("h1, h2, h3")].map((h) => Number(h.tagName[1]));
    levels.forEach((level, i) => expect(level - (levels[i - 1] ?? 0)).toBeLessThanOrEqual(1));
    for (const element of page.querySelectorAll("button, a")) expect(element.getAttribute("aria-label") ?? text(element)).not.toBe("");
    for (const field of page.querySelectorAll("input, select")) expect(page.querySelector(`label[for="${field.id}"]`)).not.toBeNull();
    const ids = [...page.querySelectorAll("[id]")].map((element) => element.id);
    expect(new Set(ids).size).toBe(ids.length);
  });
  test("says that it waits", async () => {
    server.on(`GET ${reads}`, () => new Promise(() => undefined));
    const page = await show(node);
    expect(text(page.querySelector("[role=status].loading"))).toBe("Loading…");
    expect(headings(page)).toHaveLength(1);
  });
  test("says what went wrong, and how to go on", async () => {
    server.on(`GET ${reads}`, { status: 503, body: { title: "Unavailable", detail: "the database is away", code: "unavailable" } });
    const page = await show(node);
    expect(text(page.querySelector("[role=alert]"))).toContain("Unavailable. the database is away");
    expect(text(page.querySelector("[role=alert] button"))).toBe("Try again");
    expect(headings(page)).toHaveLength(1);
  });
  test("with nothing to show says so in words", async () => {
    server.answers[reads] = empty;
    if (name === "device") server.answers[`${reads}/timeline`] = fixtures.list([]);
    const page = await show(node);
    expect(headings(page)).toHaveLength(1);
    expect(text(page).length).toBeGreaterThan(20);
    expect(text(page)).not.toMatch(/undefined|NaN|null|\[object/);
    expect(page.querySelector("[role=alert]") === null || name === "release").toBe(true);
  });
  test("full shows no leftovers of the program", async () => expect(text(await show(node))).not.toMatch(/undefined|NaN|null|\[object|Infinity/));
  test("shows what an attacker wrote as text, and links nowhere else", async () => {
    const evil = `=cmd|'/C calc'!A1 \u202Egnp.exe"><img src=x onerror="throw 1"><script>alert(1)</script>`;
    const poisoned = (value: unknown): unknown =>
      Array.isArray(value) ? value.map(poisoned)
      : typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, poisoned(inner)]))
      : typeof value === "string" ? evil : value;
    for (const path of Object.keys(server.answers)) server.answers[path] = poisoned(server.answers[path]);
    const page = await show(node);
    expect(page.querySelector("script, img")).toBeNull();
    expect(text(page)).toContain(`\u202Egnp.exe"><img src=x onerror="throw 1"><script>alert(1)</script>`);
    for (const href of hrefs(page)) expect(href).toMatch(/^\/(?!\/)[^<>"]*$/);
  });
});

test("an address that leads nowhere says so and leads back", async () => {
  const page = await show(<NotFoundScreen />);
  expect(headings(page)).toEqual(["Not here"]);
  expect(hrefs(page)).toEqual(["/"]);
});

test("the sign-in screen has one heading and a labelled field", async () => {
  const page = await show(<SignInScreen />);
  expect(headings(page)).toEqual(["Sign in to Ferry"]);
  expect(text(page.querySelector("label[for=token]"))).toBe("Access token");
});
