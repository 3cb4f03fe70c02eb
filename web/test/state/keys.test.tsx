import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { App } from "../../src/app";
import { chordMs, keysHelp, screensByKey, setKeysOn } from "../../src/state/keys";
import { startRouter } from "../../src/state/router";
import { button, click, inTheWorld, passes, settle, show, text, visit } from "../support";

inTheWorld({ timers: true });
let stop: () => void;
beforeEach(() => {
  stop = startRouter();
  keysHelp.value = false;
  setKeysOn(true);
});
afterEach(() => {
  stop();
  setKeysOn(true);
});

async function press(key: string, target: EventTarget = document.body, init: KeyboardEventInit = {}): Promise<KeyboardEvent> {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init });
  target.dispatchEvent(event);
  await settle();
  return event;
}

describe("keys", () => {
  test.each([...screensByKey])("g %s goes to %s, like the link in the navigation", async (key, path) => {
    visit(path === "/" ? "/devices" : "/");
    const page = await show(<App />);
    await press("g");
    await press(key);
    expect(window.location.pathname).toBe(path);
    expect(page.querySelector("nav [aria-current=page]")!.getAttribute("href")).toBe(path);
  });
  test("a letter alone, another letter, or one that comes too late goes nowhere", async () => {
    await show(<App />);
    await press("d");
    await press("g");
    await press("x");
    await press("d");
    await press("g");
    await passes(chordMs);
    await press("d");
    expect(window.location.pathname).toBe("/");
  });
  test("they are left alone while one types, with a modifier, and while a question is open", async () => {
    visit("/devices");
    const page = await show(<App />);
    for (const [target, init] of [[page.querySelector("#q")!, {}], [page.querySelector("#state")!, {}], [document.body, { ctrlKey: true }], [document.body, { metaKey: true }]] as const) {
      await press("g", target, init);
      await press("o", target, init);
    }
    await press("?");
    await press("g");
    await press("o");
    expect(window.location.pathname).toBe("/devices");
  });
  test("/ goes to the search, where there is one", async () => {
    visit("/devices");
    const page = await show(<App />);
    expect((await press("/")).defaultPrevented).toBe(true);
    expect(document.activeElement).toBe(page.querySelector("#q"));
    visit("/releases");
    await settle();
    expect((await press("/")).defaultPrevented).toBe(false);
  });
  test("? shows them all; they can be switched off, and stay off", async () => {
    const page = await show(<App />);
    await press("?");
    const dialog = page.querySelector("dialog")!;
    expect(dialog.open).toBe(true);
    expect([...dialog.querySelectorAll("dt")].map(text)).toEqual(["go", "gd", "gr", "gt", "gm", "/", "?", "Esc"]);
    const box = dialog.querySelector<HTMLInputElement>("input[type=checkbox]")!;
    await click(box);
    expect(localStorage.getItem("ferry.keys")).toBe("off");
    await click(button(dialog, "Close"));
    expect(dialog.open).toBe(false);
    await press("g");
    await press("d");
    expect(window.location.pathname).toBe("/");
    await click(button(page, "? Keyboard shortcuts"));
    expect(dialog.open).toBe(true);
    await click(box);
    await click(button(dialog, "Close"));
    await press("g");
    await press("d");
    expect(window.location.pathname).toBe("/devices");
  });
});
