// A value read from the API and read again when something about it was heard.
import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../api/client";
import type { Problem } from "../api/types";
import { listen } from "./live";

export interface Resource<T> {
  value: T | undefined;
  problem: Problem | undefined;
  stale: boolean; // the value answers an earlier question (another filter); the new answer is on its way
  reload: () => void;
}

interface State<T> {
  path: string;
  value?: T;
  problem?: Problem;
}

const objectOf = (path: string) => path.split("?")[0];

// `everyMs`: for what the server sends no hints about (numbers from telemetry, "last seen").
export function useResource<T>(path: string, topics: string[], everyMs = 0): Resource<T> {
  const [state, setState] = useState<State<T>>({ path });
  const read = useRef<() => void>(() => undefined);
  useEffect(() => {
    const abort = new AbortController();
    let running = false;
    let again = false;
    const once = async () => {
      // One request at a time: hints faster than the server answers must not keep its answers from being shown.
      if (running) {
        again = true;
        return;
      }
      running = true;
      try {
        const value = await api.get<T>(path, abort.signal);
        if (!abort.signal.aborted) setState({ path, value });
      } catch (error) {
        const problem = problemOf(error);
        // What was shown stays: a failed refresh is a note, not an empty page.
        if (!abort.signal.aborted)
          setState((before) => (before.path === path && before.value !== undefined ? { path, value: before.value, problem } : { path, problem }));
      }
      running = false;
      if (again && !abort.signal.aborted) {
        again = false;
        void once();
      }
    };
    read.current = () => void once();
    void once();
    return () => abort.abort();
  }, [path]);
  useEffect(() => {
    const reload = () => read.current();
    const stops = topics.map((topic) => listen(topic, reload));
    const timer = everyMs > 0 ? setInterval(() => document.hidden || reload(), everyMs) : undefined;
    return () => {
      clearInterval(timer);
      for (const stop of stops) stop();
    };
  }, [topics.join(" "), everyMs]);
  const fresh = state.path === path;
  const related = objectOf(state.path) === objectOf(path);
  return {
    value: related ? state.value : undefined,
    problem: fresh ? state.problem : undefined,
    stale: !fresh && related && state.value !== undefined,
    reload: () => read.current(),
  };
}
