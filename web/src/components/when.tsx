import { signal } from "@preact/signals";
import { absolute, ago } from "../state/format";

const now = signal(Date.now());
setInterval(() => {
  now.value = Date.now();
}, 5_000);

// Relative in the text, absolute in the title.
export function When({ ms }: { ms: number }) {
  if (ms <= 0) return <span class="dim">never</span>;
  return <time dateTime={new Date(ms).toISOString()} title={absolute(ms)}>{ago(ms, now.value)}</time>;
}
