import { render } from "preact";
import { act } from "preact/test-utils";
import { describe, expect, test, vi } from "vitest";
import { ApiError } from "../../src/api/client";
import { Card, Facts } from "../../src/components/card";
import { ConfirmButton } from "../../src/components/confirm";
import { Command, Digest } from "../../src/components/copy";
import { LabelEditor, Labels } from "../../src/components/labels";
import { LiveMark } from "../../src/components/live-mark";
import { Guard, Loaded, ProblemNote } from "../../src/components/notes";
import { Reason } from "../../src/components/reason";
import { Status, toneOf } from "../../src/components/status";
import { Table } from "../../src/components/table";
import { Timeline } from "../../src/components/timeline";
import { When } from "../../src/components/when";
import { liveState } from "../../src/state/live";
import type { Resource } from "../../src/state/resource";
import * as fixtures from "../fixtures";
import { button, click, inTheWorld, passes, server, settle, show, text, type } from "../support";

inTheWorld({ timers: true });

const resource = <T,>(rest: Partial<Resource<T>>): Resource<T> => ({ value: undefined, problem: undefined, stale: false, reload: () => undefined, ...rest });
const problem = { status: 409, code: "conflict", title: "Conflict", detail: "somebody was faster", reason: "operator.abort" };

describe("a state", () => {
  test("is a word, a mark and a tone, never a colour alone", async () => {
    const page = await show(<Status state="rolled_back" />);
    expect(text(page)).toBe("rolled back");
    expect(page.querySelector(".status-bad svg[aria-hidden=true]")).not.toBeNull();
  });
  test.each([["ok", "good"], ["PASSED", "good"], ["trial", "busy"], ["timed_out", "bad"], ["hold", "warn"], ["waiting", "plain"], ["", "plain"], ["constructor", "plain"], ["__proto__", "plain"], ["toString", "plain"]])(
    "%s has the tone %s", (state, tone) => expect(toneOf(state)).toBe(tone));
  test("without a name is unknown", async () => expect(text(await show(<Status state="" />))).toBe("unknown"));
});

describe("a reason", () => {
  test("is its code and its words", async () => expect(text(await show(<Reason code="trial.memory" />))).toBe("trial.memory more memory than its budget"));
  test("that nobody knows is its code", async () => expect(text(await show(<Reason code="new.reason" />))).toBe("new.reason"));
});

describe("a time", () => {
  test("is relative in the text, absolute in the title, exact for machines, and goes on", async () => {
    const page = await show(<When ms={fixtures.now - 60_000} />);
    const time = page.querySelector("time")!;
    expect([text(time), time.title, time.getAttribute("datetime")]).toEqual(["60 s ago", "2026-11-25 09:29:00 UTC", "2026-11-25T09:29:00.000Z"]);
    await passes(60_000);
    expect(text(page)).toBe("2 min ago");
  });
  test.each([0, -1, Number.NaN, 1e18])("%d is never", async (ms) => expect(text(await show(<When ms={ms} />))).toBe("never"));
  test("that is no longer shown keeps no clock running", async () => {
    const page = await show(<><When ms={1} /><When ms={2} /></>);
    expect(vi.getTimerCount()).toBe(1);
    await act(async () => render(null, page));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a table", () => {
  const rows = [{ id: "a", n: 1 }, { id: "b", n: 2 }];
  const columns = [{ title: "Id", cell: (r: { id: string }) => r.id }, { title: "N", cell: (r: { n: number }) => r.n, numeric: true }];
  test("has a caption, column headers, and in each cell the title that narrow screens show", async () => {
    const page = await show(<Table caption="Things" rows={rows} columns={columns} rowKey={(r) => r.id} />);
    expect(text(page.querySelector("table[role=table] > caption"))).toBe("Things");
    expect([...page.querySelectorAll("th[scope=col][role=columnheader]")].map(text)).toEqual(["Id", "N"]);
    expect([...page.querySelectorAll("tbody tr")].map((row) => [...row.querySelectorAll("td")].map((td) => `${td.dataset["title"]}=${text(td)}`))).toEqual([["Id=a", "N=1"], ["Id=b", "N=2"]]);
    expect([...page.querySelectorAll("td.num, th.num")].map(text)).toEqual(["N", "1", "2"]);
  });
  test("is a stop of the keyboard only where it scrolls", async () => {
    let measure: () => void = () => undefined;
    vi.stubGlobal("ResizeObserver", class { constructor(callback: () => void) { measure = callback; } observe() { /* measured by the test */ } disconnect() { /* nothing is held */ } });
    const page = await show(<Table caption="Things" rows={rows} columns={columns} rowKey={(r) => r.id} />);
    const frame = page.querySelector<HTMLElement>(".table-frame")!;
    expect(frame.hasAttribute("tabindex")).toBe(false);
    Object.defineProperty(frame, "scrollWidth", { value: 900 });
    Object.defineProperty(frame, "clientWidth", { value: 300 });
    measure();
    await settle();
    expect([frame.getAttribute("tabindex"), frame.getAttribute("role"), frame.getAttribute("aria-label")]).toEqual(["0", "region", "Things, scrolls sideways"]);
  });
});

describe("loading", () => {
  test("is said", async () => expect(text((await show(<Loaded resource={resource({})}>{() => "x"}</Loaded>)).querySelector("[role=status]"))).toBe("Loading…"));
  test("that failed is an alert with what went wrong and a way to try again", async () => {
    const reload = vi.fn();
    const page = await show(<Loaded resource={resource({ problem, reload })}>{() => "x"}</Loaded>);
    expect(text(page.querySelector("[role=alert]"))).toContain("Conflict. somebody was faster operator.abort");
    await click(button(page, "Try again"));
    expect(reload).toHaveBeenCalledOnce();
  });
  test("again that failed keeps what was known", async () => {
    const page = await show(<Loaded resource={resource({ value: 7, problem })}>{(value) => <b>{value}</b>}</Loaded>);
    expect(text(page.querySelector(".stale b"))).toBe("7");
    expect(page.querySelector("[role=alert]")).not.toBeNull();
  });
  test("another answer is busy, not empty", async () => expect(text((await show(<Loaded resource={resource({ value: 7, stale: true })}>{(v) => v}</Loaded>)).querySelector("[aria-busy=true]"))).toBe("7"));
  test("a problem without a title still has one", async () => expect(text(await show(<ProblemNote problem={{ status: 0, code: "", title: "", detail: "" }} />))).toContain("Something went wrong"));
});

test("an answer that nobody foresaw shows a note instead of taking the page away, and can be tried again", async () => {
  let broken = true;
  const Fragile = () => {
    if (broken) throw new TypeError("x is undefined");
    return <p>whole</p>;
  };
  const page = await show(<Guard><Fragile /></Guard>);
  expect(text(page.querySelector("h1"))).toBe("This page could not be shown");
  expect(text(page)).toContain("x is undefined");
  broken = false;
  await click(button(page, "Try again"));
  expect(text(page)).toBe("whole");
});

describe("a confirmation", () => {
  const dialogOf = (page: Element) => page.querySelector("dialog")!;
  test("asks before it acts, passes the reason on, and closes", async () => {
    const act = vi.fn(async (_reason: string) => undefined);
    const page = await show(<ConfirmButton label="Promote" question="Go on?" asksReason act={act}><p>what happens</p></ConfirmButton>);
    expect(dialogOf(page).open).toBe(false);
    await click(button(page, "Promote"));
    expect(dialogOf(page).open).toBe(true);
    expect(act).not.toHaveBeenCalled();
    await type(page.querySelector("dialog input")!, " it is late ");
    await click(dialogOf(page).querySelector<HTMLButtonElement>("button[type=submit]")!);
    expect(act).toHaveBeenCalledWith("it is late");
    expect(dialogOf(page).open).toBe(false);
  });
  test("is named by its question and described by its text, with ids that hold together", async () => {
    const page = await show(<><ConfirmButton label="Promote" question="Go on?" act={async () => undefined}><p>what happens</p></ConfirmButton><ConfirmButton label="Promote" question="Really?" act={async () => undefined}><p>this</p></ConfirmButton></>);
    const named = [...page.querySelectorAll("dialog")].map((dialog) => ["aria-labelledby", "aria-describedby"].map((name) => {
      const id = dialog.getAttribute(name)!;
      expect(id).not.toContain(" ");
      return text(document.getElementById(id));
    }));
    expect(named).toEqual([["Go on?", "what happens"], ["Really?", "this"]]);
  });
  test("that is cancelled does nothing", async () => {
    const act = vi.fn(async () => undefined);
    const page = await show(<ConfirmButton label="Abort" question="?" danger act={act}><p /></ConfirmButton>);
    await click(button(page, "Abort"));
    await click(button(dialogOf(page), "Cancel"));
    expect(dialogOf(page).open).toBe(false);
    expect(act).not.toHaveBeenCalled();
  });
  test("that fails stays open and says why; asked again it starts clean", async () => {
    const page = await show(<ConfirmButton label="Abort" question="?" asksReason act={() => Promise.reject(new ApiError(problem))}><p /></ConfirmButton>);
    await click(button(page, "Abort"));
    await type(page.querySelector("dialog input")!, "x");
    await click(dialogOf(page).querySelector<HTMLButtonElement>("button[type=submit]")!);
    expect(dialogOf(page).open).toBe(true);
    expect(text(dialogOf(page).querySelector("[role=alert]"))).toContain("somebody was faster");
    await click(button(dialogOf(page), "Cancel"));
    await click(button(page, "Abort"));
    expect(dialogOf(page).querySelector("[role=alert]")).toBeNull();
    expect(page.querySelector<HTMLInputElement>("dialog input")!.value).toBe("");
  });
  test("acts once, however often it is pressed", async () => {
    let finish: () => void = () => undefined;
    const act = vi.fn(() => new Promise<void>((resolve) => { finish = resolve; }));
    const page = await show(<ConfirmButton label="Abort" question="?" act={act}><p /></ConfirmButton>);
    await click(button(page, "Abort"));
    const submit = dialogOf(page).querySelector<HTMLButtonElement>("button[type=submit]")!;
    await click(submit);
    await click(submit);
    expect(act).toHaveBeenCalledOnce();
    expect(submit.disabled).toBe(true);
    finish();
    await settle();
    expect(dialogOf(page).open).toBe(false);
  });
  test("that is not allowed says so", async () => {
    const page = await show(<ConfirmButton label="Abort" question="?" unavailable="This needs the role operator" act={async () => undefined}><p /></ConfirmButton>);
    expect(button(page, "Abort").disabled).toBe(true);
    expect(button(page, "Abort").title).toBe("This needs the role operator");
  });
});

describe("copying", () => {
  test("a digest shows both ends and copies all of it", async () => {
    const write = vi.fn(async (_text: string) => undefined);
    vi.stubGlobal("navigator", { clipboard: { writeText: write } });
    const digest = fixtures.digests["1.4.0"]!;
    const page = await show(<Digest value={digest} what="manifest digest" />);
    const copy = page.querySelector("button")!;
    expect(text(copy)).toBe(`${digest.slice(0, 6)}…${digest.slice(-6)}`);
    expect(copy.getAttribute("aria-label")).toContain("Copy manifest digest");
    await click(copy);
    expect(write).toHaveBeenCalledWith(digest);
    expect(text(copy)).toBe("copied");
    await passes(1_500);
    expect(text(copy)).not.toBe("copied");
  });
  test("without a clipboard nothing breaks", async () => {
    vi.stubGlobal("navigator", {});
    const page = await show(<Command line="ferry release list" />);
    await click(page.querySelector("button")!);
    expect(text(page)).toContain("ferry release list");
    expect(text(page)).not.toContain("Copied");
  });
  test("no digest is a dash", async () => expect(text(await show(<Digest value="" what="x" />))).toBe("–"));
});

describe("labels", () => {
  test("are shown by name", async () => expect([...(await show(<Labels labels={{ site: "oslo", kind: "camera" }} />)).querySelectorAll(".label")].map(text)).toEqual(["kind=camera", "site=oslo"]));
  test.each([["site=bergen", { site: "bergen" }], ["  room = two words ", { room: "two words" }], ["note=a=b", { note: "a=b" }]])("%s is set", async (typed, labels) => {
    const changed = vi.fn();
    server.on("PATCH /devices/dev-1", { body: {} });
    const page = await show(<LabelEditor device="dev-1" labels={{}} changed={changed} />);
    await type(page.querySelector("input")!, typed);
    await click(button(page, "Set label"));
    expect(server.asked("PATCH", "/devices/dev-1").map((call) => call.body)).toEqual([{ labels }]);
    expect(changed).toHaveBeenCalledOnce();
    expect(page.querySelector("input")!.value).toBe("");
  });
  test.each(["", "site", "=oslo", "site=", "two words=x"])("%j is no label", async (typed) => {
    const page = await show(<LabelEditor device="dev-1" labels={{}} changed={() => undefined} />);
    await type(page.querySelector("input")!, typed);
    expect(button(page, "Set label").disabled).toBe(true);
  });
  test("are removed by name", async () => {
    server.on("PATCH /devices/dev-1", { body: {} });
    const page = await show(<LabelEditor device="dev-1" labels={{ site: "oslo" }} changed={() => undefined} />);
    await click(button(page, "Remove label site"));
    expect(server.asked("PATCH", "/devices/dev-1").map((call) => call.body)).toEqual([{ labels: { site: null } }]);
  });
  test("that the server refuses stay typed, with the reason", async () => {
    server.on("PATCH /devices/dev-1", { status: 400, body: { title: "Bad input", detail: "labels.site: too long" } });
    const page = await show(<LabelEditor device="dev-1" labels={{}} changed={() => undefined} />);
    await type(page.querySelector("input")!, "site=x");
    await click(button(page, "Set label"));
    expect(text(page.querySelector("[role=alert]"))).toContain("labels.site: too long");
    expect(page.querySelector("input")!.value).toBe("site=x");
  });
});

describe("a timeline", () => {
  test("tells an attempt as one entry with its outcome, reason, message and steps", async () => {
    const page = await show(<Timeline items={fixtures.timeline.items} withSteps />);
    const entry = [...page.querySelectorAll(".entry")].find((e) => text(e).includes("1.3.0"))!;
    expect(text(entry)).toContain("trial.memory more memory than its budget");
    expect(text(entry)).toContain("the worker needed 611 MiB");
    expect([...entry.querySelectorAll(".step")].map(text)).toEqual(["downloading 08:57:00", "trial 08:58:00", "rolled back 08:59:00"]);
    expect(entry.className).toContain("entry-bad");
    expect(text(entry)).toContain("int8 in slot A");
  });
  test("names the device when it is about many, and stops at its limit", async () => {
    const page = await show(<Timeline items={fixtures.overview.feed} withDevice max={3} />);
    expect(page.querySelectorAll(".entry")).toHaveLength(3);
    expect(page.querySelector(`a[href="/devices/${fixtures.deviceId}"]`)).not.toBeNull();
    expect(page.querySelector(".steps")).toBeNull();
  });
});

test.each([["live", "Live"], ["reconnecting", "Reconnecting…"], ["paused", "Paused"]] as const)("the mark of a stream that is %s says %s", async (state, word) => {
  liveState.value = state;
  expect(text((await show(<LiveMark />)).querySelector("[role=status]"))).toBe(word);
});

test("a card is a region named by its title", async () => {
  const page = await show(<Card title="Slots"><Facts items={[["Counter", 5]]} /></Card>);
  const section = page.querySelector("section")!;
  expect(text(document.getElementById(section.getAttribute("aria-labelledby")!))).toBe("Slots");
  expect([text(page.querySelector("dt")), text(page.querySelector("dd"))]).toEqual(["Counter", "5"]);
});
