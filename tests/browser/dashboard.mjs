#!/usr/bin/env node
// The dashboard in a real browser, before a real server that holds a finished story. What the pages show is compared with
// what the server's API says at that moment, never with constants.
//
//   scripts/node-env node tests/browser/dashboard.mjs --folder FOLDER      the folder that scripts/demo --keep prints
//   scripts/node-env node tests/browser/dashboard.mjs --url URL --ca CA.pem --token-file admin.token
//     [--screenshot docs/images/dashboard.png]   the picture for the README
//     [--shots FOLDER]                           a picture of every page, light, dark and narrow
//
// Exit 0 when every test passed. The server is changed only for a moment: one label of one device comes and goes.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import test, { after, before, beforeEach, describe } from "node:test";
import { parseArgs } from "node:util";
import { Dashboard, eventually, OperatorApi } from "./session.mjs";

const { values: flags } = parseArgs({
  options: Object.fromEntries(["folder", "url", "ca", "token-file", "screenshot", "shots"].map((name) => [name, { type: "string" }])),
});
const run = flags.folder ? JSON.parse(readFileSync(path.join(flags.folder, "server/run/server.json"), "utf8")) : {};
const url = flags.url ?? run.operator_url;
const caFile = flags.ca ?? run.ca_file;
const tokenFile = flags["token-file"] ?? (flags.folder && path.join(flags.folder, "server/admin.token"));
if (!url || !caFile || !tokenFile) {
  console.error("usage: dashboard.mjs --folder FOLDER | --url URL --ca FILE --token-file FILE  [--screenshot FILE] [--shots FOLDER]");
  process.exit(2);
}
const ca = readFileSync(caFile);
const token = readFileSync(tokenFile, "utf8").trim();
const api = new OperatorApi(url, ca, token);

let dashboard;
let page;
const device = (id) => `/devices/${encodeURIComponent(id)}`;
const release = ({ model, version }) => `/releases/${encodeURIComponent(model)}/${encodeURIComponent(version)}`;
const rollout = (id) => `/rollouts/${encodeURIComponent(id)}`;
const words = (state) => state.replaceAll("_", " ").toLowerCase();
const counted = (value) => value.toLocaleString("en");

// In the log the code of a gate's reason is followed by its words: "gate.latency slower than …: evidence …".
const withoutWords = (why) => why.replace(/^(gate\.[a-z_]+) .*(?=: evidence of harm)/, "$1");

// The objects of the story, as the server lists them when the test begins.
let story;
async function readStory() {
  const [devices, releases, rollouts, models] = await Promise.all(["/devices", "/releases", "/rollouts", "/models"].map((list) => api.get(list)));
  const failed = rollouts.items.find((one) => one.state === "failed");
  assert.ok(devices.items.length > 0 && releases.items.length > 1 && failed, "this server holds no finished story: play scripts/demo first");
  // The one that has most to show; of a fleet the first may never have seen a bad release.
  const device = devices.items.find((one) => one.models.some((model) => model.rejected.length > 0)) ?? devices.items[0];
  const [gated, recalled] = [rollouts.items.find((one) => one.gate), rollouts.items.find((one) => one.gate && one.recalled)];
  return { device, gated, recalled, devices: devices.items, releases: releases.items, rollouts: rollouts.items, models: models.items, failed };
}
const pages = () => ({
  overview: "/", devices: "/devices", device: device(story.device.id), releases: "/releases", release: release(story.releases[0]),
  "withdrawn-release": release(story.failed), rollouts: "/rollouts", rollout: rollout(story.failed.id), telemetry: "/telemetry",
  ...(story.gated && { "gated-rollout": rollout(story.gated.id) }), ...(story.recalled && { "recalled-rollout": rollout(story.recalled.id) }),
});

before(async () => {
  story = await readStory();
  dashboard = await Dashboard.open({ url, ca });
  page = dashboard.page;
});
after(() => dashboard?.close());

describe("signing in", () => {
  test("a stranger sees nothing but the sign-in page, whatever the address", async () => {
    await dashboard.visit(device(story.device.id));
    assert.deepEqual(await dashboard.text("h1"), ["Sign in to Ferry"]);
    assert.equal((await page.content()).includes(story.device.hardware_class), false);
    assert.deepEqual(await dashboard.axe(), []);
  });
  test("a wrong token is refused in words", async () => {
    await page.getByLabel("Access token").fill(`${token}x`);
    await page.keyboard.press("Enter");
    await page.getByRole("alert").filter({ hasText: "not known" }).waitFor();
  });
  test("the right token leads to the page that was asked for", async () => {
    // A browser logs each 401; those two were asked for. Everything after this must be clean.
    assert.equal(dashboard.errors.every((line) => line.includes("401") && line.includes("/api/v1/session")), true, dashboard.errors.join("\n"));
    dashboard.errors.length = 0;
    await page.getByLabel("Access token").fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: story.device.id }).waitFor();
  });
  test("the token is kept nowhere; the session is a cookie that scripts cannot read and other sites cannot send", async () => {
    const [cookie] = await dashboard.context.cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path], ["__Host-ferry", true, true, "Strict", "/"]);
    assert.notEqual(cookie.value, token);
    const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href, document.documentElement.outerHTML]));
    assert.equal(kept.includes(token) || kept.includes(cookie.value), false);
  });
});

// Before anything below leaves a trace on the device's timeline.
test("the picture for the README", { skip: !flags.screenshot }, async () => {
  await dashboard.visit(device(story.device.id));
  await page.getByText("Live", { exact: true }).waitFor();
  mkdirSync(path.dirname(flags.screenshot), { recursive: true });
  await page.screenshot({ path: flags.screenshot });
});

describe("what a person sees", () => {
  test("overview: the fleet, what needs a person, which release is on how many devices, the latest events", async () => {
    await dashboard.visit("/");
    await eventually(async () => {
      const seen = await api.get("/overview");
      const tiles = Object.fromEntries((await page.locator(".tile").allInnerTexts()).map((tile) => tile.split("\n")));
      assert.equal(tiles["Devices online"], `${counted(seen.devices.online)} / ${counted(seen.devices.total)}`);
      assert.equal(tiles["Need attention"], counted(seen.devices.attention));
      assert.equal(tiles["Inferences"], counted(seen.telemetry.inferences));
      assert.equal(await page.locator(".attention li").count(), seen.attention.length);
      const bars = await page.locator("svg[role=img]").evaluateAll((all) => all.map((svg) => svg.getAttribute("aria-label")));
      for (const model of seen.distribution)
        assert.ok(bars.includes(`Devices of ${model.model} by release: ${model.releases.map((r) => `${counted(r.devices)} ${r.version || "no release"}`).join(", ")}`), bars.join("\n"));
      const newest = seen.feed[0];
      assert.match((await dashboard.text(".entry"))[0], new RegExp(words(newest.state || newest.kind)));
    });
  });
  test("devices: each with its state, what it runs, where, and its hardware", async () => {
    await dashboard.visit("/devices");
    await eventually(async () => {
      const { items } = await api.get("/devices");
      const rows = await dashboard.table("Devices");
      assert.deepEqual(rows.map((row) => [row["Device"], row["State"], row["Hardware class"]]), items.map((one) => [one.id, words(one.state), one.hardware_class || "–"]));
      items.forEach((one, i) => one.models.forEach((model) => {
        assert.ok(rows[i]["Runs"].includes(model.active ? `${model.model} ${model.active.version}` : `${model.model}: none`), rows[i]["Runs"]);
        if (model.active) assert.ok(rows[i]["Slot"].includes(model.active.slot.toUpperCase()) && rows[i]["Variant"].includes(model.active.variant));
      }));
    });
  });
  test("devices: a search is answered by the server and stands in the address", async () => {
    await page.getByLabel("Search").fill("no such device at all");
    await page.getByText("No device fits this filter.").waitFor();
    assert.match(page.url(), /\?q=no\+such\+device/);
    await page.getByLabel("Search").fill(story.device.id);
    await eventually(async () => assert.equal((await dashboard.table("Devices")).length, 1));
    await page.reload();
    await dashboard.settled();
    assert.equal(await page.getByLabel("Search").inputValue(), story.device.id);
  });
  for (const name of ["a", "b"])
    test(`device: slot ${name.toUpperCase()} with its release, variant and role`, async () => {
      await dashboard.visit(device(story.device.id));
      const seen = await api.get(device(story.device.id));
      for (const [i, model] of seen.models.entries()) {
        const shown = (await dashboard.text(".slot"))[2 * i + (name === "a" ? 0 : 1)];
        const entry = model.slots[name];
        assert.ok(shown.startsWith(`Slot ${name.toUpperCase()} ${!entry ? "empty" : model.active?.slot === name ? "active" : "standby"}`), shown);
        if (entry) for (const part of [`${model.model} ${entry.version}`, entry.variant, `counter ${entry.counter}`]) assert.ok(shown.includes(part), `${part} is not in: ${shown}`);
      }
    });
  test("device: which releases it rejected and why", async () => {
    const seen = await api.get(device(story.device.id));
    for (const model of seen.models.filter((one) => one.rejected.length > 0)) {
      const rows = await dashboard.table(`Releases of ${model.model} rejected by this device`);
      assert.deepEqual(rows.map((row) => [row["Release"], row["Reason"].split(" ")[0]]), model.rejected.map((one) => [one.version, one.reason]));
    }
    assert.ok(seen.models.some((model) => model.rejected.length > 0), "the story's device has rejected no release");
  });
  test("device: a timeline that tells every event, its reasons and messages", async () => {
    const items = await eventually(async () => {
      const listed = (await api.get(`${device(story.device.id)}/timeline?limit=100`)).items;
      const told = await page.locator(".entry").evaluateAll((entries) => entries.map((entry) => Math.max(1, entry.querySelectorAll(".step").length)));
      assert.equal(told.reduce((sum, steps) => sum + steps, 0), listed.length);
      return listed;
    });
    const shown = (await dashboard.text(".timeline")).join(" ");
    for (const part of items.flatMap((item) => [item.reason, item.detail?.message]).filter(Boolean)) assert.ok(shown.includes(part.replace(/\s+/g, " ").trim()), `${part} is not told`);
    const lane = await page.locator(".lane svg").first().getAttribute("aria-label");
    for (const item of items.filter((one) => one.kind === "update" && one.state === "committed")) assert.ok(lane.includes(item.version), lane);
  });
  test("device: telemetry, hardware and identity", async () => {
    await eventually(async () => {
      const seen = await api.get(device(story.device.id));
      const rows = await dashboard.table("Telemetry of this device by release");
      assert.deepEqual(rows.map((row) => [row["Release"], row["Inferences"], row["Errors"]]), seen.telemetry.map((one) => [`${one.model} ${one.version}`, counted(one.count), counted(one.errors)]));
      const identity = (await dashboard.text("section")).find((text) => text.startsWith("Identity"));
      for (const part of [seen.hardware_class, seen.profile.cpu_model, seen.profile.os, seen.certificate.fingerprint.slice(0, 6)]) assert.ok(identity.includes(part), `${part} is not in: ${identity}`);
    });
  });
  test("releases: each with its state, the gate's result and its devices", async () => {
    await dashboard.visit("/releases");
    const { items } = await api.get("/releases");
    const rows = await dashboard.table("Releases");
    assert.deepEqual(rows.map((row) => [row["Release"], row["State"], row["CI gate"], row["Devices on it"]]),
      items.map((one) => [`${one.model} ${one.version}`, words(one.state), words(one.gate_result), `${counted(one.devices.running)} / ${counted(one.devices.total)}`]));
  });
  test("release: the gate report, verified again, check by check, and the variants", async () => {
    await dashboard.visit(release(story.releases[0]));
    const seen = await api.get(release(story.releases[0]));
    assert.equal(seen.gate.verified, true, seen.gate.error);
    assert.ok((await dashboard.text("main"))[0].includes("signature verified by this server just now"));
    const rows = await dashboard.table("Checks of the CI gate");
    assert.deepEqual(rows.map((row) => [row["Check"].split(" ").slice(0, 2).join(" "), row["Verdict"], row["n"], row["In words"]]),
      seen.gate.report.measurements.map((m) => [`${m.id.split("@")[0]} ${m.id.split("/").at(-1)}`, m.verdict, counted(m.n), m.detail.replace(/\s+/g, " ")]));
    const variants = await dashboard.table("Variants");
    assert.deepEqual(variants.map((row) => [row["Variant"], row["SHA-256"]]), seen.variants.map((one) => [one.name, `${one.file_sha256.slice(0, 6)}…${one.file_sha256.slice(-6)}`]));
  });
  test("release: one that came back from the field is marked", async () => {
    await dashboard.visit(release(story.failed));
    const seen = await api.get(release(story.failed));
    assert.equal(seen.state, "quarantined");
    assert.ok((await dashboard.text(".title"))[0].includes("quarantined"));
  });
  test("rollouts: each with its state, reason and progress", async () => {
    await dashboard.visit("/rollouts");
    const { items } = await api.get("/rollouts");
    const rows = await dashboard.table("Rollouts");
    assert.deepEqual(rows.map((row) => [row["Release"], row["State"].split(" ")[0], row["Committed"], row["Selector"]]),
      items.map((one) => [`${one.model} ${one.version}`, words(one.state), `${counted(one.devices.committed)} / ${counted(one.devices.selected)}`, one.selector]));
    assert.ok(rows[items.findIndex((one) => one.id === story.failed.id)]["State"].includes(story.failed.reason));
  });
  test("rollout: why it stopped, its phases, failures, devices and every verdict", async () => {
    await dashboard.visit(rollout(story.failed.id));
    const [seen, devices] = await Promise.all([api.get(rollout(story.failed.id)), api.get(`${rollout(story.failed.id)}/devices`)]);
    const title = (await dashboard.text(".title"))[0];
    assert.ok(title.includes("failed") && title.includes(seen.reason), title);
    const phases = await dashboard.text(".phase");
    seen.phases.forEach((phase, i) => assert.ok(phases[i].startsWith(`Phase ${i + 1}: ${phase.percent} % ${words(phase.state)}`), phases[i]));
    const rows = await dashboard.table("Verdict log");
    assert.deepEqual(rows.map((row) => [row["Verdict"], row["Decision"], withoutWords(row["Why"])]), seen.log.map((one) => [one.verdict, one.decision, one.detail]));
    assert.deepEqual((await dashboard.table("Devices of this rollout")).map((row) => [row["Device"], row["State"]]), devices.items.map((one) => [one.device, words(one.state)]));
    for (const failure of seen.failures) assert.ok((await dashboard.text("section")).some((text) => text.startsWith("Failures by reason") && text.includes(failure.reason) && failure.devices.every((id) => text.includes(id))));
    assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
  });
  for (const which of ["gated", "recalled"])
    test(`rollout: the live gate of a ${which} one, its evidence and its pairs as the record says`, async (t) => {
      const one = story[which];
      if (!one) return t.skip(`this server holds no ${which} rollout`);
      await dashboard.visit(rollout(one.id));
      const [seen, { verdict, pairs, policy }] = await Promise.all([api.get(rollout(one.id)), api.get(`${rollout(one.id)}/verdict`)]);
      const card = page.locator("section", { has: page.getByRole("heading", { level: 2, name: "Live gate" }) });
      const said = (await card.innerText()).replace(/\s+/g, " ");
      for (const part of [verdict.decision, ...verdict.reasons, `ferry rollout explain ${one.id}`]) assert.ok(said.includes(part), `${part} is not in: ${said}`);
      const number = (unats) => Number(Math.exp(unats / 1e6).toPrecision(3));
      assert.ok(verdict.log_e_unats > Math.log(100) * 1e6 || said.includes(`Evidence of harm ${number(verdict.log_e_unats)} of ${number(verdict.threshold_unats)} needed`), said);
      assert.ok(said.includes(`Complete ${verdict.pairs.complete} of ${verdict.pairs.required} required`) && said.includes(`Silent canaries ${verdict.pairs.silent_canaries}`), said);
      if (verdict.smallest_effect_uoct > 0) assert.ok(said.includes(`would have found +${(100 * (2 ** (verdict.smallest_effect_uoct / 1e6) - 1)).toFixed(0)}`) || verdict.smallest_effect_uoct < 137_000, said);
      assert.deepEqual((await dashboard.table("Evidence of harm by group")).map((row) => row["Group"]), verdict.groups.map((group) => group.name));
      const tests = await page.locator("table", { hasText: "Every test of the live gate" }).locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
      assert.deepEqual(tests.map(([name, , , up, down]) => [name, up, down]), verdict.groups.flatMap((group) => group.parts).map((part) => [part.name, counted(part.up), counted(part.down)]));
      if (which === "recalled") assert.ok((await dashboard.text(".note")).some((note) => note.startsWith(`Ordered back: ${seen.devices.rolled_back} of ${seen.devices.rolled_back + seen.devices.committed} device`)));

      // Each difference computed here, from the record's whole numbers alone.
      const set = await card.getByRole("combobox").inputValue();
      const [metric, resolution] = [set.split("@")[0], Number(set.split("@")[1])];
      const values = pairs.flatMap((pair) => {
        const made = metric.startsWith("latency")
          ? pair.latency.find((l) => l.resolution === resolution && l.quantile_ppm === policy[metric.split(".")[1]].quantile_ppm)
          : pair[metric].find((s) => s.resolution === resolution);
        return made ? [{ canary: pair.canary, difference: made.canary[1] - made.canary[0] - (made.control[1] - made.control[0]) }] : [];
      }).sort((a, b) => b.difference - a.difference);
      assert.ok(values.length > 0 && (await card.locator(".pair circle").count()) === values.length, `${set}: ${values.length} pairs have a value`);
      const slider = card.getByRole("slider");
      await slider.focus();
      await page.keyboard.press("End");
      assert.ok((await slider.getAttribute("aria-valuetext")).startsWith(`${values.at(-1).canary} → `));
      assert.deepEqual(await dashboard.axe(), []);
      await card.getByRole("button", { name: "Show as table" }).click();
      const caption = await card.locator("figure caption").innerText();
      const shown = await dashboard.table(caption);
      const percent = (difference) => (metric.startsWith("latency") ? 100 * (2 ** (difference / 1e6) - 1) : difference / 10_000);
      const near = (text, wanted) => Math.abs(Number(text.replace("−", "-").replace(/[+,]| (%|pp)$/g, "")) - wanted) <= (metric.startsWith("latency") && Math.abs(wanted) >= 9.95 ? 0.51 : 0.051);
      shown.forEach((row, i) => assert.ok(near(row["Difference"], percent(values[i].difference)), `${row["Canary"]}: ${row["Difference"]}, the record says ${percent(values[i].difference)}`));
      assert.deepEqual(shown.map((row) => row["Canary"]).sort(), values.map((value) => value.canary).sort());
    });
  test("rollout: rolling back says what it means, and nothing happens without a yes", async () => {
    const one = story.rollouts.find((candidate) => !candidate.recalled && candidate.devices.committed > 0);
    await dashboard.visit(rollout(one.id));
    await page.getByRole("button", { name: "Roll back" }).click();
    const dialog = page.getByRole("dialog", { name: `Roll ${one.version} back?` });
    await dialog.waitFor();
    const told = (await dialog.innerText()).replace(/\s+/g, " ");
    for (const part of [`${counted(one.devices.committed)} device`, `${one.version} is quarantined`, `ferry rollout rollback ${one.id}`]) assert.ok(told.includes(part), `${part} is not in: ${told}`);
    assert.deepEqual(await dashboard.axe(), []);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await api.get(rollout(one.id))).recalled, false);
  });
  test("telemetry: each release with its numbers, and the same numbers as a chart and as a table", async () => {
    await dashboard.visit("/telemetry");
    await eventually(async () => {
      const seen = await api.get(`/telemetry?model=${encodeURIComponent(story.models[0].model)}&window_s=3600`);
      const rows = await dashboard.table("Telemetry by release");
      assert.deepEqual(rows.map((row) => [row["Release"], row["Inferences"], row["Errors"], row["Labelled"]]), seen.releases.map((one) => [one.version, counted(one.count), counted(one.errors), counted(one.labelled)]));
      const charts = await page.locator("figure svg[role=img]").evaluateAll((all) => all.map((svg) => svg.getAttribute("aria-label")));
      for (const one of seen.releases.filter((r) => r.series.some((p) => p.count > 0))) assert.ok(charts[0].includes(`${one.version} `), charts[0]);
      assert.equal(await page.locator("figure").first().locator("circle").count(), seen.releases.flatMap((r) => r.series.filter((p) => p.count > 0)).length);
    });
    const answered = (await api.get(`/telemetry?model=${encodeURIComponent(story.models[0].model)}&window_s=3600`)).labels;
    assert.deepEqual((await dashboard.table("Share of each class in a release's answers")).map((row) => row["Class"]), answered);
    await page.getByRole("button", { name: "Show as table" }).first().click();
    assert.ok((await dashboard.table("p99 of inferences")).every((row) => /(µs|ms| s)$/.test(row["Value"])));
  });
  test("an address that leads nowhere, and an object that does not exist, say so and keep the navigation", async () => {
    await dashboard.visit("/no/such/page");
    assert.deepEqual(await dashboard.text("h1"), ["Not here"]);
    await dashboard.visit(device("dev-nobody"));
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByRole("navigation", { name: "Main" }).getByRole("link").count(), 5);
  });
});

describe("by keyboard alone", () => {
  const focused = () => page.evaluate(() => ({ name: document.activeElement.innerText.trim(), tag: document.activeElement.tagName, outline: getComputedStyle(document.activeElement).outlineStyle }));
  test("the first stop jumps over the navigation", async () => {
    await dashboard.visit("/");
    await page.keyboard.press("Tab");
    assert.equal((await focused()).name, "Skip to content");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)), true);
  });
  test("every main page is reached by Tab and Enter, with the focus visible and then at the new page", async () => {
    const names = await page.getByRole("navigation", { name: "Main" }).getByRole("link").allInnerTexts();
    assert.ok(names.length >= 5);
    for (const name of names) {
      await dashboard.visit("/");
      let here = {};
      for (let i = 0; i < 12 && here.name !== name; i++) {
        await page.keyboard.press("Tab");
        here = await focused();
      }
      assert.deepEqual([here.name, here.tag], [name, "A"]);
      assert.notEqual(here.outline, "none", `the focus on ${name} cannot be seen`);
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { level: 1, name }).waitFor();
      assert.equal(await page.getByRole("link", { name, exact: true }).first().getAttribute("aria-current"), "page");
      if (name !== "Overview") assert.equal((await focused()).tag, "MAIN");
    }
  });
  test("keys of one letter go to the pages, and are listed", async () => {
    await dashboard.visit("/");
    for (const [keys, name] of [["gd", "Devices"], ["gr", "Releases"], ["gt", "Rollouts"], ["gm", "Telemetry"], ["go", "Overview"]]) {
      for (const key of keys) await page.keyboard.press(key);
      await page.getByRole("heading", { level: 1, name }).waitFor();
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    assert.deepEqual(await dashboard.axe(), []);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
  });
  test("a dangerous question takes the focus, can be left by Escape, and gives the focus back", async () => {
    await dashboard.visit(device(story.device.id));
    await page.getByRole("button", { name: "Revoke" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Revoke this device?" });
    await dialog.waitFor();
    assert.equal((await focused()).name, "Cancel");
    assert.deepEqual(await dashboard.axe(), []);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal((await focused()).name, "Revoke");
    assert.notEqual((await api.get(device(story.device.id))).state, "revoked");
  });
});

test("live: a label that somebody else sets appears, and goes, without loading the page", async () => {
  const { id } = story.device;
  await dashboard.visit(device(id));
  await page.getByText("Live", { exact: true }).waitFor();
  const value = `live-${process.pid}`;
  await page.evaluate(() => (window.same = window.noPolling = true));
  const hints = () => page.evaluate((wanted) => window.seen.hints.filter((hint) => JSON.parse(hint).id === wanted).length, id);
  const label = page.locator(".title .label", { hasText: `browser-test=${value}` });
  try {
    const before = await hints();
    assert.equal((await api.request("PATCH", device(id), { labels: { "browser-test": value } })).status, 200);
    await label.waitFor({ timeout: 5_000 });
    await eventually(async () => assert.ok((await hints()) > before, "the page changed, but the server sent no hint"), 5_000);
  } finally {
    await api.request("PATCH", device(id), { labels: { "browser-test": null } });
  }
  const before = await hints();
  await label.waitFor({ state: "detached", timeout: 5_000 });
  await eventually(async () => assert.ok((await hints()) > before, "the page changed, but the server sent no hint"), 5_000);
  assert.equal(await page.evaluate(() => window.same), true);
});

test("writing: a label set on the page is on the server, and its removal too", async () => {
  const { id } = story.device;
  await dashboard.visit(device(id));
  try {
    await page.getByLabel("New label, as name=value").fill("browser-test=by hand");
    await page.getByRole("button", { name: "Set label" }).click();
    await eventually(async () => assert.equal((await api.get(device(id))).labels["browser-test"], "by hand"));
    await page.getByRole("button", { name: "Remove label browser-test" }).click();
    await eventually(async () => assert.equal("browser-test" in (await api.get(device(id))).labels, false));
  } finally {
    await api.request("PATCH", device(id), { labels: { "browser-test": null } });
  }
});

describe("for everybody", () => {
  beforeEach(async () => {
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
  });
  after(() => page.setViewportSize({ width: 1280, height: 800 }));
  for (const scheme of ["light", "dark"])
    test(`axe finds nothing on any page, ${scheme}`, async () => {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [name, address] of Object.entries(pages())) {
        await dashboard.visit(address);
        assert.deepEqual(await dashboard.axe(), [], name);
        if (flags.shots) await shot(`${scheme}-${name}`, true);
      }
    });
  for (const width of [390, 320])
    test(`no page scrolls sideways at ${width} pixels, and axe finds nothing`, async () => {
      await page.setViewportSize({ width, height: 800 });
      for (const [name, address] of Object.entries(pages())) {
        await dashboard.visit(address);
        const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(content <= window, `${name} is ${content} pixels wide`);
        if (width === 390) assert.deepEqual(await dashboard.axe(), [], name);
        if (flags.shots) await shot(`${width}-${name}`, true);
      }
    });
  test("pages do not jump while they load", async () => {
    for (const [name, address] of Object.entries(pages())) {
      await dashboard.visit(address);
      const { shift } = await dashboard.collect();
      assert.ok(shift < 0.1, `${name} shifted by ${shift.toFixed(3)} (0.1 is good)`);
    }
  });
});

async function shot(name, fullPage) {
  mkdirSync(flags.shots, { recursive: true });
  await page.screenshot({ path: path.join(flags.shots, `${name}.png`), fullPage });
}

test("signing out ends the session here and on the server", async () => {
  const [cookie] = await dashboard.context.cookies();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { level: 1, name: "Sign in to Ferry" }).waitFor();
  assert.deepEqual(await dashboard.context.cookies(), []);
  const stranger = new OperatorApi(url, ca, "");
  assert.equal((await stranger.request("GET", "/overview")).status, 401);
  await dashboard.context.addCookies([cookie]);
  assert.equal((await dashboard.context.request.get(`${dashboard.url}/api/v1/overview`, { ignoreHTTPSErrors: true })).status(), 401);
});

test("throughout: no error in the console, nothing that the policy refused, no request to anybody else", async () => {
  await dashboard.collect();
  const asked = (line) => line.includes("404") && line.includes("/devices/dev-nobody"); // the object that does not exist
  assert.deepEqual(dashboard.errors.filter((line) => !asked(line)), []);
  assert.deepEqual(dashboard.violations, []);
  assert.deepEqual(dashboard.elsewhere, []);
});
