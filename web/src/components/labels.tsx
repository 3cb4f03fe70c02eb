// Labels of a device: shown, and edited by those who may.
import { useState } from "preact/hooks";
import { api, problemOf } from "../api/client";
import type { Problem } from "../api/types";
import { deviceHref } from "../state/router";
import { ProblemNote } from "./notes";

const sorted = (labels: Record<string, string>) => Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));

export function Labels({ labels }: { labels: Record<string, string> }) {
  const pairs = sorted(labels);
  if (pairs.length === 0) return <span class="dim">–</span>;
  return <span class="labels">{pairs.map(([key, value]) => <span key={key} class="label">{key}={value}</span>)}</span>;
}

export function LabelEditor({ device, labels, changed }: { device: string; labels: Record<string, string>; changed: () => void }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const patch = async (change: Record<string, string | null>) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await api.patch(deviceHref(device), { labels: change });
      setText("");
      changed();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  const [, key, value] = /^\s*([^=\s]+)\s*=\s*(\S.*?)\s*$/.exec(text) ?? [];
  const submit = (event: Event) => {
    event.preventDefault();
    if (key && value) void patch({ [key]: value });
  };
  return (
    <>
      <ul class="labels label-list" aria-label="Labels">
        {sorted(labels).map(([name, content]) => (
          <li key={name} class="label">
            {name}={content}
            <button type="button" class="label-remove" aria-label={`Remove label ${name}`} disabled={busy} onClick={() => void patch({ [name]: null })}>×</button>
          </li>
        ))}
        {Object.keys(labels).length === 0 && <li class="dim">none</li>}
      </ul>
      <form class="inline-form" onSubmit={submit}>
        <label for="label-text" class="hidden">New label, as name=value</label>
        <input id="label-text" value={text} placeholder="site=oslo" autocomplete="off" onInput={(event) => setText((event.target as HTMLInputElement).value)} />
        <button type="submit" disabled={busy || !key || !value}>Set label</button>
      </form>
      {problem && <ProblemNote problem={problem} />}
    </>
  );
}
