#!/usr/bin/env node
// Two people run rollouts through the dashboard, before a real server with a virtual fleet (operate_test.py starts both).
// What they see is compared with the API, what devices do with what the fleet says of itself.
//
//   operate.mjs --url URL --ca CA.pem --maker FILE --checker FILE --fleet STATUS.json
//
// maker and checker: files with the access tokens of two operators, named asta and bo. The server has releases 1.0.0 (on
// every device) … 1.4.0; 1.3.0 fails once on some devices. Exit 0 when every test passed.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { after, before, describe } from "node:test";
import { parseArgs } from "node:util";
import { Dashboard, eventually, OperatorApi } from "./session.mjs";

const { values: flags } = parseArgs({ options: Object.fromEntries(["url", "ca", "maker", "checker", "fleet"].map((name) => [name, { type: "string" }])) });
const ca = readFileSync(flags.ca);
const tokens = Object.fromEntries(["maker", "checker"].map((who) => [who, readFileSync(flags[who], "utf8").trim()]));
const api = new OperatorApi(flags.url, ca, tokens.maker);
const model = "fashion-mnist";
const limit_ms = 90_000; // for devices to do something

// What the devices themselves run, by version.
const running = () => JSON.parse(readFileSync(flags.fleet, "utf8")).running;
const address = (id) => `/rollouts/${encodeURIComponent(id)}`;
const flat = (text) => text.replace(/\s+/g, " ").trim();

class Person {
  async arrive(name, token) {
    this.name = name;
    this.dashboard = await Dashboard.open({ url: flags.url, ca });
    this.page = this.dashboard.page;
    await this.dashboard.visit("/");
    await this.page.getByLabel("Access token").fill(token);
    await this.page.keyboard.press("Enter");
    await this.page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    return this;
  }
  // Opens a rollout and stays there; nothing but the stream of changes moves the page from here on.
  async watch(id) {
    await this.dashboard.visit(address(id));
    await this.page.getByText("Live", { exact: true }).waitFor();
    await this.page.evaluate(() => (window.same = window.noPolling = true));
  }
  async state(word) {
    await this.page.locator(".title .status").filter({ hasText: word }).waitFor({ timeout: limit_ms });
  }
  // The first phase has all its devices: until somebody promotes it, nothing moves by itself.
  async soaking() {
    await this.page.locator(".phase-soaking").waitFor({ timeout: limit_ms });
  }
  async stayed() {
    assert.equal(await this.page.evaluate(() => window.same), true, "the page was loaded anew");
  }
  // Presses the button, reads the question, checks what it says will happen, and says yes.
  async act(button, question, says, reason) {
    const dialog = await this.ask(button, question, says);
    if (reason) await dialog.getByRole("textbox", { name: "Reason" }).fill(reason);
    await this.yes(dialog, button);
    await dialog.waitFor({ state: "hidden" }).catch(async (error) => {
      throw new Error(`the question stayed: ${flat(await dialog.innerText())}`, { cause: error });
    });
  }
  async ask(button, question, says) {
    await this.page.getByRole("button", { name: button, exact: true }).click();
    const dialog = this.page.getByRole("dialog", { name: question });
    await dialog.waitFor();
    // The numbers in it are those of this moment.
    await eventually(async () => {
      const said = flat(await dialog.innerText());
      for (const part of says) assert.ok(said.includes(part), `“${part}” is not in: ${said}`);
    });
    return dialog;
  }
  yes(dialog, button) {
    return dialog.getByRole("button", { name: button, exact: true }).click();
  }
}

// One story: what comes after a step that failed would only fail for another reason.
let broken = false;
const step = (name, tell) => test(name, async (t) => {
  if (broken) return t.skip("an earlier step failed");
  broken = true;
  await tell(t);
  broken = false;
});

let asta, bo, devices;
before(async () => {
  devices = (await api.get("/devices?limit=1000")).items.length;
  [asta, bo] = [await new Person().arrive("asta", tokens.maker), await new Person().arrive("bo", tokens.checker)];
});
after(async () => {
  await asta?.dashboard.close();
  await bo?.dashboard.close();
});

const policy = (more = {}) => ({ phases: [{ percent: 25, soak_s: 3600 }, { percent: 100, soak_s: 0 }], failures_max: 0, device_timeout_s: 600,
  trial: { shadow_requests: 1, shadow_s_max: 1, probation_requests: 1, probation_s: 1 }, ...more });
// A rollout that somebody made elsewhere, with the command line say.
async function made(version, more) {
  const { status, body } = await api.request("POST", "/rollouts", { model, version, selector: "*", policy: policy(more) });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}
const counts = async (id) => (await api.get(address(id))).devices;
const quarter = () => Math.ceil(devices / 4);

describe("a rollout is planned, created, approved", () => {
  let id;
  const field = (name) => asta.page.getByLabel(name, { exact: true });
  step("what is typed in the form stands in the address, and a reload shows the same", async () => {
    await asta.dashboard.visit("/rollouts");
    await asta.page.getByRole("link", { name: "Create rollout" }).click();
    await asta.page.getByRole("heading", { level: 1, name: "New rollout" }).waitFor();
    await field("Release").selectOption("1.1.0");
    await field("Size of phase 1").fill("25");
    await field("then soak of phase 1").fill("1h");
    await asta.page.getByRole("button", { name: "Remove phase 2" }).click();
    await field("Approvals needed").fill("1");
    await field("Judge canaries against controls").uncheck();
    await eventually(() => {
      const query = new URL(asta.page.url()).searchParams;
      assert.deepEqual([query.get("version"), query.getAll("phase"), query.get("approvals"), query.get("gate")], ["1.1.0", ["percent:25:1h"], "1", "off"]);
    });
    await asta.page.reload();
    await asta.dashboard.settled();
    await eventually(async () => {
      assert.deepEqual([await field("Release").inputValue(), await field("Size of phase 1").inputValue(), await field("then soak of phase 1").inputValue(), await field("Approvals needed").inputValue()],
        ["1.1.0", "25", "1h", "1"]);
      assert.equal(await field("Judge canaries against controls").isChecked(), false);
    });
    assert.deepEqual(await asta.dashboard.axe(), []);
  });
  step("a field that makes no sense is refused at the field, and nothing is made", async () => {
    await field("Size of phase 1").fill("250");
    await asta.page.getByRole("button", { name: "Dry run" }).click();
    await asta.page.locator(".phase-row [role=alert]").first().waitFor();
    assert.equal(await field("Size of phase 1").getAttribute("aria-invalid"), "true");
    await field("Size of phase 1").fill("25");
  });
  step("a dry run lists every device with its phase and variant, and makes nothing", async () => {
    const before = (await api.get("/rollouts")).items.length;
    await asta.page.getByRole("button", { name: "Dry run" }).click();
    await asta.page.getByText(`${devices} devices selected. Nothing was made.`).waitFor();
    const rows = await asta.dashboard.table("What each device would get");
    assert.equal(rows.length, Math.min(devices, 50));
    assert.deepEqual([...new Set(rows.map((row) => row["Variant"]))], ["fp32"]);
    assert.equal(rows.filter((row) => row["Phase"] === "1").length, quarter());
    assert.equal((await api.get("/rollouts")).items.length, before);
  });
  step("creating says first what it will do: to whom, in which order, who must agree", async () => {
    await asta.page.getByRole("button", { name: "Create rollout", exact: true }).click();
    const dialog = asta.page.getByRole("dialog", { name: "Create this rollout?" });
    await dialog.waitFor();
    const said = flat(await dialog.innerText());
    for (const part of [`${devices} devices matching * are to take ${model} 1.1.0`, `first ${quarter()} devices (25 %)`, "1 person other than you has approved it", "When one device fails, nobody else is offered it"])
      assert.ok(said.includes(part), `“${part}” is not in: ${said}`);
    assert.deepEqual(await asta.dashboard.axe(), []);
    await dialog.getByRole("button", { name: "Create rollout", exact: true }).click();
    await asta.page.waitForURL(/\/rollouts\/ro-[^/?]+$/);
    id = decodeURIComponent(new URL(asta.page.url()).pathname.split("/").at(-1));
    const seen = await api.get(address(id));
    await asta.page.getByRole("heading", { level: 1, name: `${model} 1.1.0` }).waitFor();
    assert.deepEqual([seen.state, seen.created_by, seen.approvals_needed, seen.policy.phases.length], ["awaiting_approval", "asta", 1, 2]);
  });
  step("who made it cannot approve it, and is told so", async () => {
    await asta.watch(id);
    await asta.state("awaiting approval");
    const button = asta.page.getByRole("button", { name: "Approve", exact: true });
    assert.equal(await button.isDisabled(), true);
    assert.match(await button.getAttribute("title"), /somebody else must approve it/);
    assert.equal((await api.request("POST", `${address(id)}:approve`, {})).status, 403);
    assert.equal((await counts(id)).waiting, devices);
  });
  step("the second person's approval starts it, and the first one's page follows by itself", async () => {
    await bo.watch(id);
    await bo.act("Approve", "Approve 1.1.0?", ["Yours is the last one needed", "it starts at once", `offers 1.1.0 to ${devices} devices`], "looks right");
    await asta.state("running");
    assert.deepEqual((await api.get(address(id))).approvals.map((one) => one.by), ["bo"]);
    await asta.page.getByRole("button", { name: "Approve", exact: true }).waitFor({ state: "detached" });
    await asta.stayed();
  });
  step("pausing and resuming say who waits and who goes on, and both pages show it", async () => {
    await Promise.all([asta.soaking(), bo.soaking()]);
    assert.equal((await counts(id)).committed, quarter());
    const said = [`${devices - quarter()} waiting`, "0 on their way", `${quarter()} committed: keep 1.1.0`];
    await asta.act("Pause", "Pause this rollout?", [...said, "stay on the old release until you resume"], "lunch");
    await bo.state("paused");
    await bo.page.getByText("Paused by asta.").waitFor();
    await bo.page.getByText("“lunch”").first().waitFor();
    await bo.act("Resume", "Resume this rollout?", [...said, "will be offered 1.1.0, phase by phase"]);
    await asta.state("running");
  });
  step("promoting skips the soak; every device ends on the release, on the page, on the server and by its own word", async () => {
    await asta.act("Promote", "Go to the next phase now?", ["The rest of phase 1 is skipped, its soak too", `${devices - quarter()} devices of phase 2`]);
    await bo.state("done");
    await asta.state("done");
    await eventually(() => assert.deepEqual(running(), { [`${model} 1.1.0`]: devices }));
    const log = (await asta.dashboard.text(".page"))[0];
    for (const word of ["asta", "bo"]) assert.ok(log.includes(word));
    for (const person of [asta, bo]) await person.stayed();
  });
});

step("a person denies a rollout with a reason, and its maker reads it", async () => {
  const id = await made("1.2.0", { approvals: 1 });
  await asta.watch(id);
  await bo.watch(id);
  await bo.act("Deny", "Deny 1.2.0?", ["no device was offered 1.2.0", "asta sees your reason"], "not on a Friday");
  await asta.state("denied");
  await asta.page.getByText("Denied by bo.").waitFor();
  await asta.page.getByText("“not on a Friday”").first().waitFor();
  assert.deepEqual(Object.keys(running()), [`${model} 1.1.0`]);
});

describe("two people at once, then all the way back", () => {
  let id;
  step("the one who was slower is told who did what, and nothing is done twice", async () => {
    id = await made("1.2.0");
    await asta.watch(id);
    await bo.watch(id);
    await Promise.all([asta.soaking(), bo.soaking()]);
    // Bo's network is slow: he does not see what Asta does before he has pressed the button.
    let arrive;
    const slow = new Promise((resolve) => (arrive = resolve));
    const answer = `**/api/v1${address(id)}`;
    await bo.page.route(answer, async (route) => {
      await slow;
      await route.continue();
    });
    const dialog = await bo.ask("Pause", "Pause this rollout?", ["stay on the old release until you resume"]);
    await asta.act("Pause", "Pause this rollout?", [], "first shift");
    const refused = bo.page.waitForResponse((response) => response.url().endsWith(":pause"));
    await bo.yes(dialog, "Pause");
    assert.equal((await refused).status(), 412);
    arrive();
    const told = bo.page.getByRole("alert").filter({ hasText: "Someone else changed it" }).first();
    await told.waitFor();
    assert.match(flat(await told.innerText()), /asta paused it \(first shift\).*was not done/);
    await bo.page.unroute(answer);
    const log = (await api.get(address(id))).log.filter((entry) => entry.decision === "pause");
    assert.deepEqual(log.map((entry) => entry.by), ["asta"]);
    await bo.state("paused");
  });
  step("aborting says that those who took it keep it; they do", async () => {
    await asta.act("Abort", "Abort this rollout?", [`${devices - quarter()} waiting: stay on the old release for good`, `${quarter()} committed: keep 1.2.0`, "This cannot be undone"]);
    await bo.state("aborted");
    assert.deepEqual(running(), { [`${model} 1.1.0`]: devices - quarter(), [`${model} 1.2.0`]: quarter() });
  });
  step("rolling back says who goes back to what; they go, by their own word, while both people watch", async () => {
    await bo.act("Roll back", "Roll 1.2.0 back?", [`${quarter()} devices that took 1.2.0 go back to 1.1.0`, "1.2.0 is quarantined"], "customers complain");
    await asta.page.getByText(`Ordered back: ${quarter()} of ${quarter()} devices are back.`).waitFor({ timeout: limit_ms });
    await eventually(() => assert.deepEqual(running(), { [`${model} 1.1.0`]: devices }));
    assert.equal((await api.get(`/releases/${model}/1.2.0`)).state, "quarantined");
    await asta.stayed();
  });
});

step("a release that failed before is marked in the form, and goes out only when a person lifts its quarantine", async () => {
  await asta.dashboard.visit(`/rollouts/new?model=${model}&version=1.2.0&phases=one&gate=off`);
  await asta.page.getByText("1.2.0 is quarantined:").waitFor();
  await asta.page.getByRole("button", { name: "Create rollout", exact: true }).click();
  await asta.page.getByLabel("Lift the quarantine").waitFor();
  assert.equal(await asta.page.getByRole("dialog", { name: "Create this rollout?" }).count(), 0);
  await asta.page.getByLabel("Lift the quarantine").check();
  await asta.page.getByRole("button", { name: "Create rollout", exact: true }).click();
  const dialog = asta.page.getByRole("dialog", { name: "Create this rollout?" });
  await dialog.getByText("its quarantine is lifted").waitFor();
  await dialog.getByRole("button", { name: "Cancel" }).click();
});

step("devices that failed are offered it once more, and the rollout that had stopped goes on", async () => {
  const id = await made("1.3.0", { phases: [{ percent: 100, soak_s: 0 }] });
  await bo.watch(id);
  await bo.state("failed");
  await eventually(async () => assert.equal((await counts(id)).failed > 0, true));
  const before = await eventually(async () => {
    const seen = await counts(id);
    assert.equal(seen.offered + seen.downloading + seen.staged + seen.trial, 0);
    return seen;
  }, limit_ms);
  await bo.act("Retry failed", "Offer it again to those that failed?", [`${before.failed} device`, "offered 1.3.0 once more", "The rollout runs again", "install.no_space"], "disks were cleaned");
  await bo.state("done");
  await eventually(() => assert.deepEqual(running(), { [`${model} 1.3.0`]: devices }));
  await bo.stayed();
});

step("the list of rollouts is filtered by the address, and a reload shows the same", async () => {
  await asta.dashboard.visit("/rollouts");
  await asta.page.getByLabel("State", { exact: true }).selectOption("denied");
  await eventually(async () => assert.deepEqual((await asta.dashboard.table("Rollouts")).map((row) => row["Release"]), [`${model} 1.2.0`]));
  assert.match(asta.page.url(), /\?state=denied$/);
  await asta.page.reload();
  await asta.dashboard.settled();
  await eventually(async () => assert.equal((await asta.dashboard.table("Rollouts")).length, 1));
});

step("throughout: no error in the console but the refusals that were asked for, no request to anybody else", async () => {
  for (const person of [asta, bo]) {
    await person.dashboard.collect();
    const asked = (line) => line.includes("/api/v1/session") || /status of (400|409|412|422)/.test(line);
    assert.deepEqual(person.dashboard.errors.filter((line) => !asked(line)), []);
    assert.deepEqual([person.dashboard.violations, person.dashboard.elsewhere], [[], []]);
  }
});
