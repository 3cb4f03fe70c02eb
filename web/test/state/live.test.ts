import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { coalesceMs, fallbackPollMs, heard, hiddenPauseMs, listen, liveState, parseHint, retryMaxMs, startLive } from "../../src/state/live";
import { FakeEventSource } from "../support";

let stops: (() => void)[];
const listens = (topic: string) => {
  const listener = vi.fn();
  stops.push(listen(topic, listener));
  return listener;
};
const starts = () => stops.push(startLive());
const hidden = (is: boolean) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => is });
  document.dispatchEvent(new Event("visibilitychange"));
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", FakeEventSource);
  FakeEventSource.all = [];
  stops = [];
});
afterEach(() => {
  for (const stop of stops) stop();
  hidden(false);
  vi.runOnlyPendingTimers();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("hints", () => {
  test("many in a row are one call, at most four times a second", () => {
    const listener = listens("devices");
    for (let i = 0; i < 100; i++) heard({ topic: "devices", kind: "changed", id: `dev-${i}` });
    expect(listener).not.toHaveBeenCalled();
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).toHaveBeenCalledTimes(1);
    for (let ms = 0; ms < 1_000; ms += 10) {
      heard({ topic: "devices", kind: "changed", id: "dev-1" });
      vi.advanceTimersByTime(10);
    }
    expect(listener.mock.calls.length).toBeLessThanOrEqual(5);
  });
  test.each([
    ["devices", "dev-1", "devices"], ["devices", "dev-1", "device:dev-1"], ["device:dev-1", "dev-1", "devices"], ["device:dev-1", "dev-1", "device:dev-1"], ["rollout:ro-1", "ro-1", "rollouts"],
    ["rollouts", "ro-1", "rollout:ro-1"], ["releases", "m/1.0.0", "releases"], ["rollouts", "ro-1", "overview"], ["overview", "", "overview"],
  ])("a hint about %s (%s) reaches who shows %s", (topic, id, listening) => {
    const listener = listens(listening);
    heard({ topic, kind: "changed", id });
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).toHaveBeenCalledTimes(1);
  });
  test("that a gate has looked reaches who shows its verdict, and makes nobody else read again", () => {
    const [verdict, another, rollout, list, overview] = [listens("gate:ro-1"), listens("gate:ro-2"), listens("rollout:ro-1"), listens("rollouts"), listens("overview")];
    heard({ topic: "rollout:ro-1", kind: "gate", id: "ro-1" });
    vi.advanceTimersByTime(coalesceMs);
    expect([verdict, another, rollout, list, overview].map((one) => one.mock.calls.length)).toEqual([1, 0, 0, 0, 0]);
  });
  test("it does not reach who shows another object", () => {
    const [other, list] = [listens("device:dev-2"), listens("releases")];
    heard({ topic: "devices", kind: "changed", id: "dev-1" });
    vi.advanceTimersByTime(coalesceMs);
    expect(other).not.toHaveBeenCalled();
    expect(list).not.toHaveBeenCalled();
  });
  test("who has gone is not called, also when the hint was before", () => {
    const listener = vi.fn();
    const stop = listen("devices", listener);
    heard({ topic: "devices", kind: "changed", id: "" });
    stop();
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).not.toHaveBeenCalled();
  });
  test.each([["no JSON", "{"], ["null", "null"], ["a number", "7"], ["no topic", '{"id": "x"}'], ["a topic that is no text", '{"topic": 7}']])("%s is no hint", (_, data) => expect(parseHint(data)).toBeNull());
  test("members that are missing are empty", () => expect(parseHint('{"topic": "overview"}')).toEqual({ topic: "overview", kind: "", id: "" }));
});

describe("the stream", () => {
  test("asks for the five topics and is live once it is open", () => {
    starts();
    expect(FakeEventSource.last.url).toBe("/api/v1/events?topics=overview,devices,releases,rollouts,drift");
    expect(liveState.value).toBe("reconnecting");
    FakeEventSource.last.opens();
    expect(liveState.value).toBe("live");
  });
  test("asks for a gated rollout as long as it is shown, and stays live meanwhile", () => {
    const asked = () => new URL(FakeEventSource.last.url, "https://x").searchParams.get("topics");
    stops.push(listen("gate:ro-1", () => undefined));
    starts();
    expect(asked()).toBe("overview,devices,releases,rollouts,drift,rollout:ro-1");
    FakeEventSource.last.opens();
    const first = FakeEventSource.last;
    const [leave] = [listen("gate:ro-2", () => undefined)];
    expect(asked()).toBe("overview,devices,releases,rollouts,drift,rollout:ro-1,rollout:ro-2");
    expect([first.readyState, liveState.value]).toEqual([FakeEventSource.CLOSED, "live"]);
    stops.push(listen("gate:ro-2", () => undefined));
    leave();
    listens("rollout:ro-3");
    expect(FakeEventSource.all).toHaveLength(2);
  });
  test("once it is open everything is read again: something may have changed before", () => {
    const listener = listens("devices");
    starts();
    FakeEventSource.last.opens();
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).toHaveBeenCalledTimes(1);
  });
  test("an event reaches its listeners; nonsense reads everything again", () => {
    starts();
    FakeEventSource.last.opens();
    vi.advanceTimersByTime(coalesceMs);
    const [device, releases] = [listens("device:dev-1"), listens("releases")];
    FakeEventSource.last.hints("devices", "dev-1");
    vi.advanceTimersByTime(coalesceMs);
    expect([device.mock.calls.length, releases.mock.calls.length]).toEqual([1, 0]);
    FakeEventSource.last.says("devices", "{");
    vi.advanceTimersByTime(coalesceMs);
    expect([device.mock.calls.length, releases.mock.calls.length]).toEqual([2, 1]);
  });
  test("reset reads everything again", () => {
    starts();
    FakeEventSource.last.opens();
    vi.advanceTimersByTime(coalesceMs);
    const [devices, rollout] = [listens("devices"), listens("rollout:ro-1")];
    FakeEventSource.last.says("reset", "{}");
    vi.advanceTimersByTime(coalesceMs);
    expect(devices).toHaveBeenCalledTimes(1);
    expect(rollout).toHaveBeenCalledTimes(1);
  });
  test("while the browser tries again the page says so, and reads by itself every ten seconds", () => {
    starts();
    FakeEventSource.last.opens();
    vi.advanceTimersByTime(coalesceMs);
    const listener = listens("overview");
    FakeEventSource.last.fails(false);
    expect(liveState.value).toBe("reconnecting");
    vi.advanceTimersByTime(2 * fallbackPollMs + coalesceMs);
    expect(listener).toHaveBeenCalledTimes(2);
    expect(FakeEventSource.all).toHaveLength(1);
    FakeEventSource.last.opens();
    expect(liveState.value).toBe("live");
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).toHaveBeenCalledTimes(3);
  });
  test("a stream that the browser gave up is opened anew, ever more slowly, without end", () => {
    starts();
    let waited = 0;
    for (let i = 0; i < 12; i++) {
      const before = FakeEventSource.all.length;
      FakeEventSource.last.fails(true);
      while (FakeEventSource.all.length === before) {
        vi.advanceTimersByTime(100);
        waited += 100;
        expect(waited).toBeLessThan(12 * retryMaxMs * 1.5);
      }
    }
    expect(FakeEventSource.all).toHaveLength(13);
    expect(waited).toBeGreaterThan(5 * retryMaxMs * 0.75);
    FakeEventSource.last.opens();
    FakeEventSource.last.fails(true);
    vi.advanceTimersByTime(1_300);
    expect(FakeEventSource.all).toHaveLength(14); // a stream that was open starts again from a short wait
  });
  test("a stream that is refused makes the page read, which tells whether the session has ended", () => {
    starts();
    const listener = listens("overview");
    FakeEventSource.last.fails(true);
    vi.advanceTimersByTime(coalesceMs);
    expect(listener).toHaveBeenCalledTimes(1);
  });
  test("a hidden tab gives its connection back after a while, and is live again when it is looked at", () => {
    starts();
    FakeEventSource.last.opens();
    hidden(true);
    vi.advanceTimersByTime(hiddenPauseMs - 1);
    expect(liveState.value).toBe("live");
    vi.advanceTimersByTime(1);
    expect(liveState.value).toBe("paused");
    expect(FakeEventSource.last.readyState).toBe(2);
    const listener = listens("overview");
    vi.advanceTimersByTime(10 * fallbackPollMs);
    expect(listener).not.toHaveBeenCalled();
    hidden(false);
    expect(FakeEventSource.all).toHaveLength(2);
    FakeEventSource.last.opens();
    vi.advanceTimersByTime(coalesceMs);
    expect(liveState.value).toBe("live");
    expect(listener).toHaveBeenCalledTimes(1);
  });
  test("a tab that is hidden only for a moment keeps its stream", () => {
    starts();
    FakeEventSource.last.opens();
    hidden(true);
    hidden(false);
    vi.advanceTimersByTime(2 * hiddenPauseMs);
    expect(FakeEventSource.all).toHaveLength(1);
    expect(liveState.value).toBe("live");
  });
  test("when the network comes back nobody waits for the next try", () => {
    starts();
    FakeEventSource.last.fails(true);
    window.dispatchEvent(new Event("online"));
    expect(FakeEventSource.all).toHaveLength(2);
    vi.advanceTimersByTime(60_000);
    expect(FakeEventSource.all).toHaveLength(2);
  });
  test("after the end nothing is opened or called any more", () => {
    const stop = startLive();
    FakeEventSource.last.fails(true);
    stop();
    const listener = listens("overview");
    vi.advanceTimersByTime(10 * retryMaxMs);
    expect(FakeEventSource.all).toHaveLength(1);
    expect(listener).not.toHaveBeenCalled();
  });
});
