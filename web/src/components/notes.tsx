// What stands in for a value that is not (yet) there.
import type { ComponentChildren } from "preact";
import { useErrorBoundary } from "preact/hooks";
import type { Problem } from "../api/types";
import type { Resource } from "../state/resource";
import { Reason } from "./reason";

export function ProblemNote({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <div class="note note-bad" role="alert">
      <p><strong>{problem.title || "Something went wrong"}.</strong> {problem.detail} {problem.reason && <Reason code={problem.reason} />}</p>
      {retry && <button type="button" class="small" onClick={retry}>Try again</button>}
    </div>
  );
}

// Shows the children once there is a value; a failed refresh shows above what was known.
export function Loaded<T>({ resource, children }: { resource: Resource<T>; children: (value: T) => ComponentChildren }) {
  const { value, problem, stale, reload } = resource;
  return (
    <>
      {problem && <ProblemNote problem={problem} retry={reload} />}
      {value !== undefined
        ? <div class={stale || problem ? "stale" : undefined} aria-busy={stale}>{children(value)}</div>
        : !problem && <p class="loading" role="status">Loading…</p>}
    </>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

// An answer in a shape that nobody foresaw must not take the navigation away.
export function Guard({ children }: { children: ComponentChildren }) {
  const [error, reset] = useErrorBoundary();
  if (error === undefined) return <>{children}</>;
  return (
    <div class="page">
      <h1>This page could not be shown</h1>
      <ProblemNote problem={{ status: 0, code: "bug", title: "The server's answer was not what this dashboard expects", detail: String(error) }} retry={reset} />
    </div>
  );
}
