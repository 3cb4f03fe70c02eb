import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { deviceHref, go, hasInQuery, location, match, releaseHref, newRolloutHref, setQuery, startRouter, toggleInQuery, withQuery } from "../../src/state/router";
import { visit } from "../support";

describe("match", () => {
  test.each([
    ["/", "/", {}], ["/devices", "/devices", {}], ["/devices", "/devices/", {}], ["/devices/:id", "/devices/dev-1", { id: "dev-1" }],
    ["/releases/:model/:version", "/releases/a%2Fb/1.0.0", { model: "a/b", version: "1.0.0" }],
  ])("%s fits %s", (pattern, path, parameters) => expect(match(pattern, path)).toEqual(parameters));
  test.each([["/", "/devices"], ["/devices", "/"], ["/devices/:id", "/devices"], ["/devices/:id", "/devices/"], ["/devices/:id", "/devices//"], ["/devices/:id", "/devices/a/b"], ["/devices/:id", "/devices/%E0%A4%A"], ["/devices", "/releases"]])(
    "%s does not fit %s", (pattern, path) => expect(match(pattern, path)).toBeNull());
});

test("links to objects keep whatever is in their names apart from the path", () => {
  expect(deviceHref("a/../b?c#d")).toBe("/devices/a%2F..%2Fb%3Fc%23d");
  expect(match("/releases/:model/:version", releaseHref("a/b", "1+<x>"))).toEqual({ model: "a/b", version: "1+<x>" });
});

describe("the address", () => {
  let stop: () => void;
  beforeEach(() => {
    visit("/");
    stop = startRouter();
  });
  afterEach(() => stop());

  // Whether the router took the click; the page itself stays, whatever the browser would have done.
  function follow(html: string, init: MouseEventInit = {}): boolean {
    document.body.innerHTML = html;
    let taken = false;
    const last = (event: Event) => {
      taken = event.defaultPrevented;
      event.preventDefault();
    };
    window.addEventListener("click", last, { once: true });
    document.querySelector("[data-here]")!.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, button: 0, ...init }));
    return taken;
  }

  test("a link of this site changes the screen without loading the page", () => {
    expect(follow(`<a href="/devices?state=ok"><b data-here>Devices</b></a>`)).toBe(true);
    expect(location.value.path).toBe("/devices");
    expect(location.value.query.get("state")).toBe("ok");
  });
  test.each([
    ["another origin", `<a data-here href="https://elsewhere.example/">x</a>`, {}], ["another host without a scheme", `<a data-here href="//elsewhere.example/devices">x</a>`, {}],
    ["an answer of the server", `<a data-here href="/api/v1/overview">x</a>`, {}], ["a download", `<a data-here href="/devices" download>x</a>`, {}],
    ["a new tab by attribute", `<a data-here href="/devices" target="_blank">x</a>`, {}], ["a new tab by key", `<a data-here href="/devices">x</a>`, { ctrlKey: true }],
    ["the middle button", `<a data-here href="/devices">x</a>`, { button: 1 }], ["a place on this page", `<a data-here href="#main">x</a>`, {}], ["no link", `<p data-here>x</p>`, {}],
  ])("%s is left to the browser", (_, html, init) => {
    const before = location.value;
    expect(follow(html, init)).toBe(false);
    expect(location.value).toBe(before);
  });
  test("a click that something else has handled is left alone", () => {
    document.body.innerHTML = `<a href="/devices" data-here>x</a>`;
    document.querySelector("a")!.addEventListener("click", (event) => event.preventDefault());
    document.querySelector("a")!.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
    expect(location.value.path).toBe("/");
  });
  test("a filter replaces the address, keeps the other values, and disappears when empty", () => {
    go("/devices?state=ok");
    const length = window.history.length;
    setQuery("q", "oslo & more");
    expect(window.location.search).toBe("?state=ok&q=oslo+%26+more");
    expect(location.value.query.get("q")).toBe("oslo & more");
    setQuery("state", "");
    setQuery("q", "");
    expect(window.location.search).toBe("");
    expect(window.history.length).toBe(length);
  });
  test("going back shows the earlier screen", () => {
    window.history.replaceState(null, "", "/rollouts");
    window.dispatchEvent(new PopStateEvent("popstate"));
    expect(location.value.path).toBe("/rollouts");
  });
});

test("a switch is in the address as long as it is on, beside others", () => {
  window.history.replaceState(null, "", "/telemetry?window=86400");
  for (const name of ["latency", "errors"]) toggleInQuery("table", name);
  expect(window.location.search).toBe("?window=86400&table=latency&table=errors");
  expect([hasInQuery("table", "errors"), hasInQuery("table", "load")]).toEqual([true, false]);
  toggleInQuery("table", "latency");
  expect(window.location.search).toBe("?window=86400&table=errors");
});

test("a filter forgets the page, a link changes only what it names", () => {
  window.history.replaceState(null, "", "/devices?q=a&cursor=c&before=b");
  setQuery("q", "b", ["cursor", "before"]);
  expect(window.location.search).toBe("?q=b");
  expect(withQuery({ cursor: "x", before: ["1", "2"] })).toBe("/devices?q=b&cursor=x&before=1&before=2");
  expect(withQuery({ q: "" })).toBe("/devices");
});

test("a new rollout is begun with a release, or with none", () => expect([newRolloutHref("a b", "1.0.0+x"), newRolloutHref()]).toEqual(["/rollouts/new?model=a+b&version=1.0.0%2Bx", "/rollouts/new"]));
