// A screen, or a part of one, whose program is fetched when it is first shown, so that the first page stays small
// (scripts/size-budget.mjs).
import type { ComponentChildren, ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ProblemNote } from "../components/notes";

type Loaded<P> = { screen: ComponentType<P> } | { failed: true };

const Page = ({ children }: { children: ComponentChildren }) => <div class="page">{children}</div>;

function Failed() {
  const detail = "The server cannot be reached, or was upgraded since this page was opened: reload it.";
  return <ProblemNote problem={{ status: 0, code: "unreachable", title: "A part of the dashboard could not be fetched", detail }} retry={() => window.location.reload()} />;
}

// `part`: it stands inside a page that has its heading.
export function lazy<P extends object>(load: () => Promise<ComponentType<P>>, { part = false } = {}): ComponentType<P> {
  let known: Loaded<P> | undefined;
  return function Lazy(props: P) {
    const [state, setState] = useState(known);
    useEffect(() => {
      if (!known) load().then((screen) => setState((known = { screen })), () => setState({ failed: true }));
    }, []);
    if (state && "screen" in state) return <state.screen {...props} />;
    const waiting = state ? <Failed /> : <p class="loading" role="status">Loading…</p>;
    return part ? waiting : <Page>{state && <h1>Not fetched</h1>}{waiting}</Page>;
  };
}
