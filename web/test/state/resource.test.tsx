import { describe, expect, test, vi } from "vitest";
import { coalesceMs, heard } from "../../src/state/live";
import { useResource, type Resource } from "../../src/state/resource";
import { inTheWorld, passes, server, settle, show, text, type Answer } from "../support";
import { render } from "preact";
import { act } from "preact/test-utils";

inTheWorld({ timers: true });

let seen: Resource<{ n: number }>;
function Probe({ path, topics = ["devices"], everyMs = 0 }: { path: string; topics?: string[]; everyMs?: number }) {
  seen = useResource<{ n: number }>(path, topics, everyMs);
  return <p>{seen.value ? `value ${seen.value.n}` : "nothing"}{seen.problem ? `, problem ${seen.problem.code}` : ""}{seen.stale ? ", stale" : ""}</p>;
}
const hint = async () => {
  heard({ topic: "devices", kind: "changed", id: "" });
  await passes(coalesceMs);
};
// Answers that the test hands out one by one.
function held(route: string) {
  const open: ((answer: Answer) => void)[] = [];
  server.on(route, () => new Promise<Answer>((resolve) => open.push(resolve)));
  return { open, answer: async (answer: Answer) => { open.shift()!(answer); await settle(); } };
}
async function reshow(element: HTMLElement, path: string) {
  await act(async () => render(<><Probe path={path} /></>, element));
  await settle();
}

describe("a resource", () => {
  test("is nothing, then its value, and its new value after a hint", async () => {
    const later = held("GET /a");
    const page = await show(<Probe path="/a" />);
    expect(text(page)).toBe("nothing");
    await later.answer({ body: { n: 1 } });
    expect(text(page)).toBe("value 1");
    await hint();
    await later.answer({ body: { n: 2 } });
    expect(text(page)).toBe("value 2");
  });
  test("keeps what it showed when reading again fails, and recovers", async () => {
    server.answers["/a"] = { n: 1 };
    const page = await show(<Probe path="/a" />);
    server.on("GET /a", { status: 503, body: { code: "unavailable", title: "Draining" } });
    await hint();
    expect(text(page)).toBe("value 1, problem unavailable");
    server.routes.clear();
    await act(async () => seen.reload());
    await settle();
    expect(text(page)).toBe("value 1");
  });
  test("that cannot be read at first is a problem", async () => {
    expect(text(await show(<Probe path="/missing" />))).toBe("nothing, problem not_found");
  });
  test("asks once at a time: hints faster than the server never keep its answer from being shown", async () => {
    const later = held("GET /a");
    const page = await show(<Probe path="/a" />);
    for (let i = 0; i < 10; i++) await hint();
    expect(later.open).toHaveLength(1);
    await later.answer({ body: { n: 1 } });
    expect(text(page)).toBe("value 1");
    expect(later.open).toHaveLength(1); // one more for all the hints that came meanwhile
    await later.answer({ body: { n: 2 } });
    expect(text(page)).toBe("value 2");
    expect(later.open).toHaveLength(0);
  });
  test("of another filter shows the old answer as stale until the new one is there", async () => {
    server.answers["/a"] = { n: 1 };
    const page = await show(<Probe path="/a?q=x" />);
    const later = held("GET /a");
    await reshow(page, "/a?q=xy");
    expect(text(page)).toBe("value 1, stale");
    await later.answer({ body: { n: 2 } });
    expect(text(page)).toBe("value 2");
  });
  test("of another object never shows the earlier object", async () => {
    server.answers["/a"] = { n: 1 };
    const page = await show(<Probe path="/a" />);
    const later = held("GET /b");
    await reshow(page, "/b");
    expect(text(page)).toBe("nothing");
    await later.answer({ body: { n: 2 } });
    expect(text(page)).toBe("value 2");
  });
  test("an answer that comes after the next question is not shown", async () => {
    const slow = held("GET /a");
    const page = await show(<Probe path="/a" />);
    server.answers["/b"] = { n: 2 };
    await reshow(page, "/b");
    await slow.answer({ body: { n: 1 } });
    expect(text(page)).toBe("value 2");
  });
  test("without hints is read again in its own time, but not in a hidden tab", async () => {
    server.answers["/a"] = { n: 1 };
    await show(<Probe path="/a" everyMs={10_000} />);
    await passes(30_000);
    expect(server.asked("GET", "/a")).toHaveLength(4);
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    await passes(30_000);
    expect(server.asked("GET", "/a")).toHaveLength(4);
    Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
  });
  test("is left alone once nobody shows it", async () => {
    server.answers["/a"] = { n: 1 };
    const page = await show(<Probe path="/a" everyMs={1_000} />);
    await act(async () => render(null, page));
    await hint();
    await passes(10_000);
    expect(server.asked("GET", "/a")).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });
});
