import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { absolute, ago } from "../state/format";

const now = signal(Date.now());
let shown = 0;
let timer: ReturnType<typeof setInterval> | undefined;

// Relative in the text, absolute in the title. One clock for all of them, and none when there are none.
export function When({ ms }: { ms: number }) {
  useEffect(() => {
    const tick = () => {
      now.value = Date.now();
    };
    if (shown++ === 0) {
      tick();
      timer = setInterval(tick, 5_000);
    }
    return () => {
      if (--shown === 0) clearInterval(timer);
    };
  }, []);
  if (!(ms > 0 && ms < 8.64e15)) return <span class="dim">never</span>;
  return <time dateTime={new Date(ms).toISOString()} title={absolute(ms)}>{ago(ms, now.value)}</time>;
}
