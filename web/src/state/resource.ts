// A value read from the API and read again when something about it was heard.
import { useEffect, useState } from "preact/hooks";
import { api, ApiError } from "../api/client";
import type { Problem } from "../api/types";
import { listen } from "./live";
import { session } from "./session";

export interface Resource<T> {
  value: T | undefined;
  problem: Problem | undefined;
  reload: () => void;
}

export function useResource<T>(path: string, topics: string[]): Resource<T> {
  const [state, setState] = useState<{ path: string; value?: T; problem?: Problem }>({ path });
  const [round, setRound] = useState(0);
  const reload = () => setRound((n) => n + 1);
  useEffect(() => {
    let current = true;
    api.get<T>(path).then(
      (value) => current && setState({ path, value }),
      (error: unknown) => {
        if (!current) return;
        const problem = error instanceof ApiError ? error.problem : { status: 0, code: "bug", title: "Error", detail: String(error) };
        if (problem.status === 401) session.value = null;
        // What was shown stays: a failed refresh is a note, not an empty page.
        setState((before) => (before.path === path && before.value !== undefined ? { path, value: before.value, problem } : { path, problem }));
      },
    );
    return () => {
      current = false;
    };
  }, [path, round]);
  useEffect(() => {
    const stops = topics.map((topic) => listen(topic, reload));
    return () => stops.forEach((stop) => stop());
  }, [topics.join(" ")]);
  const fresh = state.path === path;
  return { value: fresh ? state.value : undefined, problem: fresh ? state.problem : undefined, reload };
}
