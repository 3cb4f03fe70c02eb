// The card of the live gate, with verdicts that a real fleet's gate gave.
import { act } from "preact/test-utils";
import { describe, expect, test } from "vitest";
import type { VerdictRecord } from "../../src/api/types";
import { recordsShown } from "../../src/components/verdict-records";
import { RolloutScreen } from "../../src/screens/rollout";
import { coalesceMs, heard } from "../../src/state/live";
import * as fixtures from "../fixtures";
import { button, click, column, inTheWorld, passes, server, settle, show, text, type, visit } from "../support";

inTheWorld({ timers: true });

const path = "/rollouts/ro-9a01/verdict";
const card = (page: Element) => [...page.querySelectorAll("section.card")].find((one) => text(one.querySelector("h2")) === "Live gate");
const facts = (page: Element) => Object.fromEntries([...card(page)!.querySelectorAll("dl.facts div")].map((one) => [text(one.querySelector("dt")), text(one.querySelector("dd"))]));
async function shows(record: VerdictRecord): Promise<Element> {
  server.answers[path] = record;
  return show(<RolloutScreen id="ro-9a01" />);
}
const withVerdict = (record: VerdictRecord, verdict: Partial<VerdictRecord["verdict"]>): VerdictRecord => ({ ...record, verdict: { ...record.verdict, ...verdict } });

describe("the live gate", () => {
  test("says pass, why, and what would have been found", async () => {
    const page = await shows(fixtures.verdicts.pass);
    expect(text(card(page)!.querySelector(".gate-verdict"))).toBe("pass the release may go on to everybodygate.no_harm_found no harm found, on enough pairs and for long enough");
    expect(text(card(page)!.querySelector(".gate-evidence p"))).toBe("Evidence of harm 0.483 of 20 needed");
    expect(facts(page)).toEqual({
      "Pairs planned": "10, drawn at random", "Started": "10", "Complete": "10 of 8 required", "Silent canaries": "0", "Silent controls": "0",
      "Watched for": "20 s (at least 20 s, at most 90 s)", "Smallest effect we would have found": "+22 %",
    });
  });
  test("says fail with the evidence, group by group, and shows the strongest differences first", async () => {
    const page = await shows(fixtures.verdicts.fail);
    expect(text(card(page)!.querySelector(".status"))).toBe("fail");
    expect(text(card(page)!.querySelector(".gate-evidence"))).toContain("Evidence of harm 23.6 of 20 neededThat is enough. 1 says nothing");
    const table = "Evidence of harm by group";
    expect(column(page, table, "Group")).toEqual(["latency", "silence", "errors", "accuracy"]);
    expect(column(page, table, "Evidence")).toEqual(["46.2", "1", "0.1", "1.83"]);
    expect(column(page, table, "Canary worse")).toEqual(["8", "0", "0", "8"]);
    expect(column(page, table, "Not worse")).toEqual(["0", "0", "7", "2"]);
    expect(column(page, table, "Counted by")).toEqual(["latency.p50.sign@50", "no pair yet", "errors.sign@80", "accuracy.sign@20"]);
    expect(card(page)!.querySelector("select")!.value).toBe("latency.p50@50");
    expect(facts(page)["Smallest effect we would have found"]).toBe("harm was found");
  });
  test("says hold, and counts the silent canary", async () => {
    const page = await shows(fixtures.verdicts.hold);
    expect(text(card(page)!.querySelector(".gate-verdict"))).toBe("hold not decidedgate.few_pairs not enough complete pairs yetgate.too_young not watched for long enough yet");
    expect([facts(page)["Silent canaries"], facts(page)["Complete"]]).toEqual(["1", "0 of 8 required"]);
  });
  test("says when the time is over", async () => expect(text(card(await shows(withVerdict(fixtures.verdicts.hold, { expired: true })))!.querySelector(".gate-verdict"))).toContain("hold the time is over: the rollout ends undecided"));
  test("of a small fleet shows each canary against its own past, and who decides", async () => {
    const record = withVerdict(fixtures.verdicts.hold, { reasons: ["gate.small_fleet"] });
    record.pairs = record.pairs.slice(0, 2).map((pair, i) => ({ ...pair, within_device: { p50_unats: i === 0 ? 3_218_876 : 0, p99_unats: -1e6 } }));
    const page = await shows(record);
    expect(text(card(page))).toContain("gate.small_fleet too few pairs for any test, so a person decides");
    expect(column(page, "Each canary against its own past", "Slower at p50")).toEqual(["25", "1"]);
    expect(column(page, "Each canary against its own past", "Slower at p99")).toEqual(["0.368", "0.368"]);
  });
  test("with canaries chosen by hand says so", async () => expect(facts(await shows({ ...fixtures.verdicts.hold, randomised: false }))["Pairs planned"]).toBe("10, chosen by hand"));
  test("before any canary has started has no difference to show, and says so", async () => {
    const page = await shows(fixtures.verdicts.early);
    expect(text(card(page)!.querySelector(".differences"))).toContain("No pair has a value here yet.");
    expect(column(page, "Evidence of harm by group", "Counted by")).toEqual(Array(4).fill("no pair yet"));
    expect(facts(page)["Smallest effect we would have found"]).toBe("none yet: even eight times slower would pass unseen");
  });
  test("shows any metric at any resolution", async () => {
    const page = await shows(fixtures.verdicts.fail);
    const select = card(page)!.querySelector("select")!;
    expect([...select.options].map((option) => text(option))[0]).toBe("Latency p50, first 50 answers (8 pairs)");
    await type(select, "accuracy@40");
    await click(button(card(page)!, "Show as table"));
    expect(column(page, "How much more each canary went wrong than its control: Wrong answers, first 40 with a label", "Canary")).toHaveLength(8);
  });
  test("lists every test and certificate with its numbers", async () => {
    const page = await shows(fixtures.verdicts.fail);
    const parts = fixtures.verdicts.fail.verdict.groups.flatMap((group) => group.parts);
    expect(column(page, "Every test of the live gate", "Test")).toEqual(parts.map((part) => part.name));
    expect(column(page, "Every test of the live gate", "Canary worse").map(Number)).toEqual(parts.map((part) => part.up));
    expect(column(page, "Certificates of the live gate", "Needed for a pass")).toEqual(["yes", "yes", "yes", "no"]);
    expect(text(card(page))).toContain("certified from 20 on");
  });
  test("gives the line that computes it again", async () => expect(text(card(await shows(fixtures.verdicts.pass))!.querySelector(".command code"))).toBe("ferry rollout explain ro-9a01"));
  test("lists its verdicts on record when asked to, with the numbers of each, and gives the present one as a file", async () => {
    server.answers[`${path}s`] = fixtures.list([{ at_ms: fixtures.now, decision: "fail", record: fixtures.verdicts.fail }, { at_ms: fixtures.now - 60_000, decision: "hold", record: fixtures.verdicts.hold }], "2");
    const page = await shows(fixtures.verdicts.fail);
    expect(server.asked("GET", `${path}s`)).toEqual([]);
    const details = [...card(page)!.querySelectorAll("details")].find((one) => text(one.querySelector("summary")) === "Verdicts on record")!;
    await act(async () => {
      details.open = true;
      details.dispatchEvent(new Event("toggle"));
    });
    await settle();
    expect(column(page, "Verdicts on record", "Decision")).toEqual(["fail", "hold"]);
    expect(column(page, "Verdicts on record", "Evidence of harm")).toEqual(["23.6 of 20", "0.535 of 20"]);
    expect(column(page, "Verdicts on record", "Pairs complete")).toEqual(["0 of 8", "0 of 8"]);
    expect(column(page, "Verdicts on record", "Reasons")[1]).toBe("gate.few_pairs not enough complete pairs yetgate.too_young not watched for long enough yet");
    expect(text(details)).toContain(`The newest ${recordsShown}.`);
    expect([details.querySelector("a[download]")!.getAttribute("href"), details.querySelector("a[download]")!.getAttribute("download")]).toEqual([`/api/v1${path}`, "ro-9a01.verdict.json"]);
  });
  test("that has not looked yet says so, asks for no verdict, and shows it once there is one", async () => {
    server.answers["/rollouts/ro-9a01"] = { ...fixtures.gatedRollout, gate: { pairs: 10, passed: false, reason: "" } };
    const page = await shows(fixtures.verdicts.pass);
    expect(text(card(page))).toContain("The gate has not looked yet");
    expect(server.asked("GET", path)).toEqual([]);
    server.answers["/rollouts/ro-9a01"] = fixtures.gatedRollout;
    heard({ topic: "rollouts", kind: "changed", id: "ro-9a01" });
    await passes(coalesceMs);
    expect(text(card(page)!.querySelector(".status"))).toBe("pass");
  });
  test("whose verdict cannot be read yet says that it has not looked, which is no failure", async () => {
    server.on(`GET ${path}`, { status: 404, body: { title: "Not found", status: 404, code: "not_found", detail: "the live gate has not looked at anything yet" } });
    const page = await show(<RolloutScreen id="ro-9a01" />);
    expect(text(card(page))).toContain("The gate has not looked yet");
    expect(page.querySelector("[role=alert]")).toBeNull();
    server.on(`GET ${path}`, { body: fixtures.verdicts.pass });
    heard({ topic: "rollout:ro-9a01", kind: "gate", id: "ro-9a01" });
    await passes(coalesceMs);
    expect(text(card(page)!.querySelector(".status"))).toBe("pass");
  });
  test("reads its verdict again, and nothing else, whenever the gate has looked; all of it when the rollout changed", async () => {
    const page = await shows(fixtures.verdicts.hold);
    const asked = server.calls.length;
    server.answers[path] = fixtures.verdicts.fail;
    heard({ topic: "rollout:ro-9a01", kind: "gate", id: "ro-9a01" });
    await passes(coalesceMs);
    expect(server.calls.slice(asked).map((call) => call.path)).toEqual([path]);
    expect(text(card(page)!.querySelector(".gate-evidence p"))).toBe("Evidence of harm 23.6 of 20 needed");
    heard({ topic: "rollouts", kind: "changed", id: "ro-9a01" });
    await passes(coalesceMs);
    expect(server.calls.slice(asked + 1).map((call) => call.path.split("?")[0]).sort()).toEqual(["/rollouts/ro-9a01", "/rollouts/ro-9a01/devices", path]);
  });
  test("keeps the metric that was chosen while verdicts come and go", async () => {
    const page = await shows(fixtures.verdicts.hold);
    await type(card(page)!.querySelector("select")!, "errors@40");
    server.answers[path] = fixtures.verdicts.fail;
    heard({ topic: "rollout:ro-9a01", kind: "gate", id: "ro-9a01" });
    await passes(coalesceMs);
    expect(card(page)!.querySelector("select")!.value).toBe("errors@40");
    expect(window.location.search).toBe("?compare=errors%4040");
  });
  test("opens at the metric that the address names, and at the most telling one when there is no such", async () => {
    visit("/rollouts/ro-9a01?compare=errors%4080");
    expect(card(await shows(fixtures.verdicts.fail))!.querySelector("select")!.value).toBe("errors@80");
    visit("/rollouts/ro-9a01?compare=nonsense");
    expect(card(await shows(fixtures.verdicts.fail))!.querySelector("select")!.value).toBe("latency.p50@50");
  });
  test("is not there without a gate, and nobody asks for a verdict", async () => {
    expect(card(await show(<RolloutScreen id="ro-7d1e" />))).toBeUndefined();
    expect(server.calls.some((call) => call.path.endsWith("/verdict"))).toBe(false);
  });
});
