import { describe, expect, test } from "vitest";
import type { TimelineItem } from "../../src/api/types";
import { entriesOf, messageOf, setbacks, spansOf } from "../../src/state/timeline";
import * as fixtures from "../fixtures";

let id = 0;
const item = (kind: string, rest: Partial<TimelineItem> = {}): TimelineItem => ({ id: ++id, at_ms: 1_000 * id, kind, ...rest });
const update = (version: string, state: string, rest: Partial<TimelineItem> = {}) => item("update", { model: "m", version, state, rollout: "ro-1", ...rest });
const newestFirst = (...items: TimelineItem[]) => items.reverse();
const told = (items: TimelineItem[]) => entriesOf(items).map((entry) => entry.steps.map((step) => step.state ?? step.kind).join(" "));

describe("entries", () => {
  test("the steps of one attempt are one entry, oldest first", () => {
    expect(told(newestFirst(update("1", "downloading"), update("1", "staged"), update("1", "trial"), update("1", "committed")))).toEqual(["downloading staged trial committed"]);
  });
  test("a restart between its steps belongs to the attempt; one after it does not", () => {
    expect(told(newestFirst(item("started"), update("1", "downloading"), item("started"), update("1", "committed"), item("started")))).toEqual(["started", "downloading started committed", "started"]);
  });
  test("a second attempt is an entry of its own", () => {
    expect(told(newestFirst(update("1", "downloading"), update("1", "failed"), update("1", "downloading"), update("1", "committed")))).toEqual(["downloading committed", "downloading failed"]);
  });
  test("another release, another rollout of the same release, and another device are other attempts", () => {
    expect(told(newestFirst(update("1", "downloading"), update("2", "downloading"), update("2", "committed")))).toEqual(["downloading committed", "downloading"]);
    expect(told(newestFirst(update("1", "downloading"), update("1", "committed", { rollout: "ro-2" })))).toEqual(["committed", "downloading"]);
    expect(told(newestFirst(update("1", "downloading", { device: "a" }), update("1", "downloading", { device: "b" }), update("1", "committed", { device: "a" }), update("1", "committed", { device: "b" })))).toEqual(
      ["downloading committed", "downloading committed"]);
  });
  test("a later rollback is not mixed with the commit before it", () => {
    expect(told(newestFirst(update("1", "trial"), update("1", "committed"), update("1", "rolled_back")))).toEqual(["rolled_back", "trial committed"]);
  });
  test("labels edited in one go are one entry; a minute later, on another device or after something else they are another", () => {
    const at = (seconds: number, rest: Partial<TimelineItem> = {}) => item("labelled", { at_ms: seconds * 1_000, ...rest });
    const counts = (...items: TimelineItem[]) => entriesOf(newestFirst(...items)).map((entry) => entry.steps.length);
    expect(counts(at(0), at(10), at(60))).toEqual([3]);
    expect(counts(at(0), at(61))).toEqual([1, 1]);
    expect(counts(at(0, { device: "a" }), at(1, { device: "b" }))).toEqual([1, 1]);
    expect(counts(at(0), item("started", { at_ms: 1_000 }), at(2))).toEqual([1, 1, 1]);
  });
  test("no event is lost or told twice", () => {
    const steps = entriesOf(fixtures.timeline.items).flatMap((entry) => entry.steps);
    expect(steps.map((step) => step.id).sort()).toEqual(fixtures.timeline.items.map((one) => one.id).sort());
  });
  test("nothing is nothing", () => expect(entriesOf([])).toEqual([]));
});

describe("spans", () => {
  test("a release runs from its commit to the next commit, the last one until now", () => {
    const items = newestFirst(update("1", "committed", { at_ms: 10 }), update("2", "rolled_back", { at_ms: 15 }), update("3", "committed", { at_ms: 20 }), update("9", "committed", { at_ms: 21, model: "other" }));
    expect(spansOf(items, "m", 50)).toEqual([{ version: "1", from_ms: 10, to_ms: 20 }, { version: "3", from_ms: 20, to_ms: 50 }]);
    expect(setbacks(items, "m").map((one) => one.version)).toEqual(["2"]);
  });
  test("a clock that went back makes no span of negative length", () => expect(spansOf([update("1", "committed", { at_ms: 100 })], "m", 50)).toEqual([{ version: "1", from_ms: 100, to_ms: 100 }]));
  test("without a commit there is none", () => expect(spansOf([update("1", "trial")], "m", 5)).toEqual([]));
});

test.each([
  ["the device's own words", item("update", { detail: { message: "hello" } }), "hello"],
  ["what is no text", item("update", { detail: { message: { html: "<b>" } } }), ""],
  ["nothing", item("update"), ""],
  ["labels and who set them", item("labelled", { detail: { by: "admin", labels: { site: "oslo", kind: "camera" } } }), "site=oslo, kind=camera, by admin"],
  ["that no label is left", item("labelled", { detail: { labels: {} } }), "no labels"],
  ["labels of no shape", item("labelled", { detail: { labels: "x" } }), ""],
  ["the agent that started", item("started", { detail: { agent_version: "0.1.0", boot: "b" } }), "agent 0.1.0"],
  ["who revoked", item("revoked", { detail: { by: "admin" } }), "by admin"],
])("an event says %s", (_, event, said) => expect(messageOf(event)).toBe(said));
