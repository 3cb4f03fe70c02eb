// What stands in for a value that is not (yet) there.
import type { ComponentChildren } from "preact";
import type { Problem } from "../api/types";
import type { Resource } from "../state/resource";

export function ProblemNote({ problem }: { problem: Problem }) {
  return (
    <div class="note note-bad" role="alert">
      <strong>{problem.title || "Something went wrong"}.</strong> {problem.detail} {problem.reason && <code>{problem.reason}</code>}
    </div>
  );
}

// Shows the children once there is a value; a failed refresh shows above what was known.
export function Loaded<T>({ resource, children }: { resource: Resource<T>; children: (value: T) => ComponentChildren }) {
  return (
    <>
      {resource.problem && <ProblemNote problem={resource.problem} />}
      {resource.value !== undefined ? children(resource.value) : !resource.problem && <p class="loading" role="status">Loading…</p>}
    </>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}
