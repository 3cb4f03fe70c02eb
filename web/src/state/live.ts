// One server-sent event stream; a hint makes the screens that show the object read it again (at most four times a second).
import { signal } from "@preact/signals";

export type LiveState = "live" | "reconnecting" | "paused";
export const liveState = signal<LiveState>("reconnecting");

export interface Hint {
  topic: string;
  kind: string;
  id: string;
}

type Listener = () => void;
const listeners = new Map<string, Set<Listener>>();
const waiting = new Set<Listener>();
export const coalesceMs = 250;
export const fallbackPollMs = 10_000;
export const hiddenPauseMs = 10_000;
export const retryMaxMs = 30_000;
const topics = ["overview", "devices", "releases", "rollouts", "drift"];
let timer: ReturnType<typeof setTimeout> | undefined;

// A gate looks every second, which changes nothing but its verdict: the server says so only to those who ask for that
// rollout, and only "gate:<rollout>" hears it.
const gatePrefix = "gate:";
const gateTopics = () => [...listeners.keys()].filter((name) => name.startsWith(gatePrefix)).map((name) => `rollout:${name.slice(gatePrefix.length)}`);
let widen: () => void = () => undefined; // asks for one more topic, when the stream is open

function flush(): void {
  timer = undefined;
  const due = [...waiting];
  waiting.clear();
  for (const listener of due) listener();
}

// Calls everyone who listens to the hint's topic, or to its kind of topic ("devices" hears "device:dev-1"). The server
// names the object of a hint about a list ("devices", id dev-1): whoever shows that object hears it too. null: everyone.
export function heard(hint: Hint | null): void {
  let names: string[];
  if (hint?.kind === "gate") {
    names = [gatePrefix + hint.id];
  } else if (hint) {
    const kind = hint.topic.split(":")[0]!;
    const [one, many] = topics.includes(kind) ? [kind.replace(/s$/, ""), kind] : [kind, `${kind}s`];
    names = [hint.topic, many, "overview", ...(hint.id ? [`${one}:${hint.id}`] : [])];
  } else {
    names = [...listeners.keys()];
  }
  for (const name of names) {
    for (const listener of listeners.get(name) ?? []) waiting.add(listener);
  }
  if (waiting.size > 0) timer ??= setTimeout(flush, coalesceMs);
}

export function listen(topic: string, listener: Listener): () => void {
  const set = listeners.get(topic) ?? new Set();
  listeners.set(topic, set.add(listener));
  if (topic.startsWith(gatePrefix)) widen();
  return () => {
    set.delete(listener);
    waiting.delete(listener);
    if (set.size === 0) listeners.delete(topic);
  };
}

export function parseHint(data: string): Hint | null {
  try {
    const value = JSON.parse(data) as Partial<Hint> | null;
    return typeof value?.topic === "string" ? { topic: value.topic, kind: String(value.kind ?? ""), id: String(value.id ?? "") } : null;
  } catch {
    return null;
  }
}

// Opens the stream and keeps it open; closed while the tab is hidden, because a browser gives one origin six connections.
export function startLive(): () => void {
  let source: EventSource | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let hide: ReturnType<typeof setTimeout> | undefined;
  let failures = 0;
  let asked: string[] = [];

  const close = () => {
    clearTimeout(retry);
    source?.close();
    source = undefined;
  };
  const open = () => {
    liveState.value = "reconnecting";
    connect();
  };
  const connect = () => {
    close();
    asked = gateTopics();
    const stream = new EventSource(`/api/v1/events?topics=${[...topics, ...asked].map(encodeURIComponent).join(",")}`);
    source = stream;
    const alive = () => {
      failures = 0;
      liveState.value = "live";
    };
    stream.onopen = () => {
      alive();
      heard(null); // what changed while nobody listened
    };
    stream.onerror = () => {
      if (source !== stream) return;
      liveState.value = "reconnecting";
      // After an answer other than 200 (a proxy, a server that drains) the browser gives up; we do not.
      if (stream.readyState === EventSource.CLOSED) {
        heard(null); // perhaps the session has ended: whoever reads now learns it
        retry = setTimeout(open, Math.min(1_000 * 2 ** failures, retryMaxMs) * (0.75 + Math.random() / 2));
        failures++;
      }
    };
    for (const name of [...topics, "device", "rollout"]) {
      stream.addEventListener(name, (event) => {
        alive();
        heard(parseHint((event as MessageEvent<string>).data));
      });
    }
    stream.addEventListener("reset", () => {
      alive();
      heard(null);
    });
  };
  const visibility = () => {
    clearTimeout(hide);
    if (document.hidden) {
      hide = setTimeout(() => {
        close();
        liveState.value = "paused";
      }, hiddenPauseMs);
    } else if (liveState.value === "paused") {
      open();
    }
  };

  open();
  widen = () => {
    if (source && gateTopics().some((topic) => !asked.includes(topic))) connect();
  };
  document.addEventListener("visibilitychange", visibility);
  window.addEventListener("online", open);
  // Also without a stream the page stays true, only later.
  const poll = setInterval(() => {
    if (liveState.value === "reconnecting") heard(null);
  }, fallbackPollMs);
  return () => {
    widen = () => undefined;
    close();
    clearTimeout(hide);
    clearInterval(poll);
    document.removeEventListener("visibilitychange", visibility);
    window.removeEventListener("online", open);
  };
}
