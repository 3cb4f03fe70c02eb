import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { App } from "../src/app";
import { go, startRouter } from "../src/state/router";
import { session, watchSession } from "../src/state/session";
import { button, click, FakeEventSource, inTheWorld, passes, server, settle, show, text, visit } from "./support";
import * as fixtures from "./fixtures";

inTheWorld({ timers: true });
let stop: () => void;
beforeEach(() => {
  watchSession();
  stop = startRouter();
});
afterEach(() => stop());

const link = (page: Element, name: string) => [...page.querySelectorAll<HTMLAnchorElement>("nav a")].find((a) => text(a) === name)!;

describe("the frame", () => {
  test("has a way past it, one banner, one navigation and one main part", async () => {
    const page = await show(<App />);
    const skip = page.querySelector("a")!;
    expect([text(skip), skip.getAttribute("href")]).toEqual(["Skip to content", "#main"]);
    expect(["header", "nav[aria-label=Main]", "main#main"].map((part) => page.querySelectorAll(part).length)).toEqual([1, 1, 1]);
  });
  test.each([["Devices", "/devices", "Devices"], ["Releases", "/releases", "Releases"], ["Rollouts", "/rollouts", "Rollouts"], ["Telemetry", "/telemetry", "Telemetry"]])("%s is one click away, and said to be here", async (name, path, heading) => {
    const page = await show(<App />);
    await click(link(page, name));
    expect(window.location.pathname).toBe(path);
    expect(text(page.querySelector("h1"))).toBe(heading);
    expect([...page.querySelectorAll("[aria-current=page]")].map(text)).toEqual([name]);
    expect(document.title).toBe(`${heading} · Ferry`);
    expect(document.activeElement).toBe(page.querySelector("main"));
  });
  test("keeps the keyboard where it is when the first page loads", async () => {
    const page = await show(<App />);
    expect(document.activeElement).not.toBe(page.querySelector("main"));
  });
  test("an object's screen belongs to its list", async () => {
    visit("/rollouts/ro-7d1e");
    const page = await show(<App />);
    expect([...page.querySelectorAll("[aria-current=page]")].map(text)).toEqual(["Rollouts"]);
  });
  test("going from one device to another shows nothing of the first", async () => {
    visit(`/devices/${fixtures.deviceId}`);
    const page = await show(<App />);
    server.on(`GET /devices/${fixtures.newDevice.id}`, () => new Promise(() => undefined));
    await act(async () => go(`/devices/${fixtures.newDevice.id}`));
    await settle();
    expect(text(page)).not.toContain("1.4.0");
  });
  test("an unknown address keeps the navigation", async () => {
    visit("/nothing/here/at/all");
    const page = await show(<App />);
    expect(text(page.querySelector("h1"))).toBe("Not here");
    expect(page.querySelectorAll("nav a")).toHaveLength(5);
  });
  test("a screen that cannot be shown keeps the navigation, and the next screen is whole", async () => {
    server.answers["/overview"] = { nothing: "of this is expected" };
    const page = await show(<App />);
    expect(text(page.querySelector("h1"))).toBe("This page could not be shown");
    await click(link(page, "Releases"));
    expect(text(page.querySelector("h1"))).toBe("Releases");
  });
  test("is live, and shows when it is not", async () => {
    const page = await show(<App />);
    const mark = page.querySelector(".live")!;
    await act(async () => FakeEventSource.last.opens());
    expect(text(mark)).toBe("Live");
    await act(async () => FakeEventSource.last.fails(false));
    expect(text(mark)).toBe("Reconnecting…");
  });
});

describe("the session", () => {
  test("is asked for before anything is shown", async () => {
    session.value = undefined;
    expect(text(await show(<App />))).toBe("Loading…");
    expect(FakeEventSource.all).toHaveLength(0);
  });
  test("that is not there shows the sign-in page and opens no stream", async () => {
    session.value = null;
    expect(text((await show(<App />)).querySelector("h1"))).toBe("Sign in to Ferry");
    expect(FakeEventSource.all).toHaveLength(0);
  });
  test("that ends on the server leads to the sign-in page, closes the stream, keeps the address", async () => {
    visit("/rollouts/ro-7d1e");
    const page = await show(<App />);
    server.on("GET /rollouts/ro-7d1e", { status: 401, body: { code: "denied" } });
    await act(async () => FakeEventSource.last.opens());
    await passes(1_000);
    expect(text(page.querySelector("h1"))).toBe("Sign in to Ferry");
    expect(text(page)).toContain("Your session has ended");
    expect(FakeEventSource.last.readyState).toBe(2);
    expect(window.location.pathname).toBe("/rollouts/ro-7d1e");
  });
  test("ends on request", async () => {
    server.on("DELETE /session", { status: 204 });
    const page = await show(<App />);
    await click(button(page, "Sign out"));
    expect(server.asked("DELETE", "/session")).toHaveLength(1);
    expect(text(page.querySelector("h1"))).toBe("Sign in to Ferry");
  });
});
