// One server-sent event stream; a hint makes the screens that show the object read it again (at most four times a second).
import { signal } from "@preact/signals";

export type LiveState = "live" | "reconnecting" | "paused";
export const liveState = signal<LiveState>("reconnecting");
export const lastHeardMs = signal(0);

export interface Hint {
  topic: string;
  kind: string;
  id: string;
}

type Listener = () => void;
const listeners = new Map<string, Set<Listener>>();
const waiting = new Set<Listener>();
const coalesceMs = 250;
const fallbackPollMs = 10_000;
let timer: ReturnType<typeof setTimeout> | undefined;

function flush(): void {
  timer = undefined;
  const due = [...waiting];
  waiting.clear();
  for (const listener of due) listener();
}

// Calls everyone who listens to the hint's topic, or to its kind of topic ("devices" hears "device:dev-1").
export function heard(hint: Hint | null): void {
  const topics = hint ? [hint.topic, hint.topic.split(":")[0]! + "s", "overview"] : [...listeners.keys()];
  for (const topic of topics) {
    for (const listener of listeners.get(topic) ?? []) waiting.add(listener);
  }
  if (waiting.size > 0) timer ??= setTimeout(flush, coalesceMs);
}

export function listen(topic: string, listener: Listener): () => void {
  const set = listeners.get(topic) ?? new Set();
  listeners.set(topic, set.add(listener));
  return () => {
    set.delete(listener);
    waiting.delete(listener);
  };
}

function parseHint(data: string): Hint | null {
  try {
    const value = JSON.parse(data) as Partial<Hint>;
    return typeof value.topic === "string" ? { topic: value.topic, kind: value.kind ?? "", id: value.id ?? "" } : null;
  } catch {
    return null;
  }
}

export function startLive(): () => void {
  const source = new EventSource("/api/v1/events?topics=overview,devices,releases,rollouts");
  const alive = () => {
    liveState.value = "live";
    lastHeardMs.value = Date.now();
  };
  source.onopen = alive;
  source.onerror = () => {
    liveState.value = "reconnecting";
  };
  for (const name of ["overview", "devices", "releases", "rollouts", "device", "rollout"]) {
    source.addEventListener(name, (event) => {
      alive();
      heard(parseHint((event as MessageEvent<string>).data));
    });
  }
  source.addEventListener("reset", () => {
    alive();
    heard(null);
  });
  // Also without a stream the page stays true, only later.
  const poll = setInterval(() => {
    if (liveState.value !== "live") heard(null);
  }, fallbackPollMs);
  return () => {
    source.close();
    clearInterval(poll);
  };
}
