// Parts of a whole as one bar: an SVG with a sentence for those who do not see it, and the numbers below it.
import { count } from "../state/format";

export interface Part {
  label: string;
  value: number;
  tone: string; // a class of style.css: tone-good, tone-busy, …
  href?: string; // what it counts
}

export function StackedBar({ parts, what }: { parts: Part[]; what: string }) {
  const shown = parts.filter((part) => part.value > 0);
  const total = shown.reduce((sum, part) => sum + part.value, 0);
  const sentence = total === 0 ? `${what}: none` : `${what}: ${shown.map((part) => `${count(part.value)} ${part.label}`).join(", ")}`;
  let from = 0;
  return (
    <div class="stacked">
      <svg class="stacked-bar" role="img" aria-label={sentence} viewBox="0 0 1000 12" preserveAspectRatio="none">
        <rect class="tone-empty" x="0" y="0" width="1000" height="12" />
        {shown.map((part, i) => {
          const width = (part.value / total) * 1000;
          const x = from;
          from += width;
          const gap = i === shown.length - 1 ? 0 : 2;
          return <rect key={part.label} class={part.tone} x={x} y="0" width={Math.max(width - gap, 1)} height="12" />;
        })}
      </svg>
      <ul class="legend">
        {total === 0 && <li class="dim">no devices</li>}
        {shown.map((part) => (
          <li key={part.label}><span class={`swatch ${part.tone}`} aria-hidden="true" /> {part.href ? <a href={part.href}>{part.label}</a> : part.label} <strong>{count(part.value)}</strong></li>
        ))}
      </ul>
    </div>
  );
}
