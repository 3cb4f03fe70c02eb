// What the tests stand on: a server that answers from a table, a stream that says what it is told to, rendering that settles.
import { render, type ComponentChildren } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, vi } from "vitest";
import { location } from "../src/state/router";
import { session } from "../src/state/session";
import * as fixtures from "./fixtures";
// What the dashboard fetches when it is first shown is here already, so that no test waits for the disk.
import "../src/components/gated-rollout";
import "../src/screens/device";
import "../src/screens/new-rollout";
import "../src/screens/release";
import "../src/screens/rollout";
import "../src/screens/telemetry";

export interface Call {
  method: string;
  path: string; // below /api/v1, with its query
  headers: Record<string, string>;
  body: unknown;
}

// A status and a body, or a promise of one that the test keeps back.
export interface Answer {
  status?: number;
  body?: unknown;
}
type Handler = (call: Call) => Answer | Promise<Answer>;

export class FakeServer {
  calls: Call[] = [];
  routes = new Map<string, Handler>(); // "GET /overview", without the query
  answers: Record<string, unknown> = { ...fixtures.answers };

  on(route: string, answer: Answer | Handler): void {
    this.routes.set(route, typeof answer === "function" ? answer : () => answer);
  }

  fetch = async (url: string, init: RequestInit = {}): Promise<Response> => {
    const path = url.replace(/^\/api\/v1/, "");
    const call: Call = { method: init.method ?? "GET", path, headers: init.headers as Record<string, string>, body: init.body === undefined ? undefined : JSON.parse(String(init.body)) };
    this.calls.push(call);
    const plain = decodeURIComponent(path.split("?")[0]!);
    const handler = this.routes.get(`${call.method} ${plain}`);
    const known = this.answers[plain];
    const missing: Answer = { status: 404, body: { title: "Not found", status: 404, code: "not_found", detail: `${plain}: no such object` } };
    const answer = handler ? await handler(call) : call.method === "GET" && known !== undefined ? { body: known } : missing;
    const status = answer.status ?? 200;
    const json = () => (typeof answer.body === "string" ? Promise.reject(new SyntaxError("not JSON")) : Promise.resolve(structuredClone(answer.body)));
    return { ok: status < 400, status, statusText: `status ${status}`, json } as Response;
  };

  asked(method: string, start: string): Call[] {
    return this.calls.filter((call) => call.method === method && call.path.startsWith(start));
  }
}

export class FakeEventSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;
  static all: FakeEventSource[] = [];
  static get last(): FakeEventSource {
    return FakeEventSource.all[FakeEventSource.all.length - 1]!;
  }
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    FakeEventSource.all.push(this);
  }
  close(): void {
    this.readyState = 2;
  }
  opens(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  // The browser tries again by itself (`ends` false), or gives up.
  fails(ends: boolean): void {
    this.readyState = ends ? 2 : 0;
    this.onerror?.();
  }
  says(event: string, data: string): void {
    this.dispatchEvent(new MessageEvent(event, { data }));
  }
  hints(topic: string, id = ""): void {
    this.says(topic.split(":")[0]!, JSON.stringify({ topic, kind: "changed", id }));
  }
}

export let server: FakeServer;
const shown: Element[] = [];

// Fakes the clock of the fixtures; with `timers` also everything that waits.
export function inTheWorld({ timers = false } = {}): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: timers ? ["Date", "setTimeout", "clearTimeout", "setInterval", "clearInterval"] : ["Date"], now: fixtures.now });
    server = new FakeServer();
    FakeEventSource.all = [];
    vi.stubGlobal("fetch", server.fetch);
    vi.stubGlobal("EventSource", FakeEventSource);
    session.value = fixtures.session;
    visit("/");
  });
  afterEach(() => {
    for (const element of shown.splice(0)) {
      render(null, element);
      element.remove();
    }
    if (timers) vi.runOnlyPendingTimers(); // nothing waits into the next test
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });
}

export function visit(address: string): void {
  window.history.replaceState(null, "", address);
  location.value = { path: window.location.pathname, query: new URLSearchParams(window.location.search) };
}

// Everything that is decided without waiting is done afterwards: promises, effects, renderings.
async function rounds(): Promise<void> {
  for (let round = 0; round < 6; round++) await act(async () => void (await Promise.resolve()));
}

export async function settle(): Promise<void> {
  // Screens are fetched when they are first shown, and a part of one after that.
  for (let fetched = 0; fetched < 2; fetched++) {
    await rounds();
    await act(async () => vi.dynamicImportSettled());
  }
  await rounds();
}

export async function show(node: ComponentChildren): Promise<HTMLElement> {
  const element = document.createElement("div");
  document.body.append(element);
  shown.push(element);
  await act(async () => render(<>{node}</>, element));
  await settle();
  return element;
}

export async function passes(ms: number): Promise<void> {
  await act(async () => void (await vi.advanceTimersByTimeAsync(ms)));
  await settle();
}

export const text = (element: Element | null | undefined) => (element?.textContent ?? "").replace(/\s+/g, " ").trim();

export function button(element: Element, name: string): HTMLButtonElement {
  const found = [...element.querySelectorAll("button")].find((b) => text(b) === name || b.getAttribute("aria-label") === name);
  if (!found) throw new Error(`no button "${name}" among: ${[...element.querySelectorAll("button")].map(text).join(", ")}`);
  return found;
}

export async function click(element: HTMLElement): Promise<void> {
  await act(async () => element.click());
  await settle();
}

export async function type(input: HTMLInputElement | HTMLSelectElement, value: string): Promise<void> {
  await act(async () => {
    input.value = value;
    input.dispatchEvent(new Event(input instanceof HTMLSelectElement ? "change" : "input", { bubbles: true }));
  });
  await settle();
}

// The cells of a table by the title of its column.
export function column(element: Element, caption: string, title: string): string[] {
  const table = [...element.querySelectorAll("table")].find((t) => text(t.querySelector("caption")) === caption);
  if (!table) throw new Error(`no table "${caption}"`);
  return [...table.querySelectorAll(`td[data-title="${title}"]`)].map(text);
}

export const hrefs = (element: Element) => [...element.querySelectorAll("a")].map((a) => a.getAttribute("href"));
