// Things people carry into a terminal: digests and command lines, copied by one click.
import { useRef, useState } from "preact/hooks";
import { shortened } from "../state/format";

function useCopy(text: string): [boolean, () => void] {
  const [copied, setCopied] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const copy = () => {
    // The clipboard is there on https only; without it the text is still selectable.
    navigator.clipboard?.writeText(text).then(
      () => {
        setCopied(true);
        clearTimeout(timer.current);
        timer.current = setTimeout(() => setCopied(false), 1_500);
      },
      () => undefined,
    );
  };
  return [copied, copy];
}

export function Digest({ value, what, keep }: { value: string; what: string; keep?: number }) {
  const [copied, copy] = useCopy(value);
  if (value === "") return <span class="dim">–</span>;
  return (
    <button type="button" class="digest" title={`${value}\nClick to copy`} aria-label={copied ? "Copied" : `Copy ${what} ${shortened(value, keep)}`} onClick={copy}>
      {copied ? "copied" : shortened(value, keep)}
    </button>
  );
}

export function Command({ line }: { line: string }) {
  const [copied, copy] = useCopy(line);
  return (
    <div class="command">
      <code>{line}</code>
      <button type="button" class="small" onClick={copy}>{copied ? "Copied" : "Copy"}<span class="hidden"> the command</span></button>
    </div>
  );
}
