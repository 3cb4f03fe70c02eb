// Lines over time: one per release. SVG with a sentence, and the same as a table on request.
import { useState } from "preact/hooks";
import { Table } from "../components/table";

export interface Line {
  label: string;
  points: { at_ms: number; value: number }[];
}

const width = 640;
const height = 180;
const left = 64;
const bottom = 24;

function ticks(max: number): number[] {
  if (max <= 0) return [0];
  const step = 10 ** Math.floor(Math.log10(max));
  const unit = max / step >= 5 ? step * 2 : max / step >= 2 ? step : step / 2;
  const values: number[] = [];
  for (let value = 0; value <= max + unit / 2; value += unit) values.push(value);
  return values;
}

export function Lines({ title, lines, unit }: { title: string; lines: Line[]; unit: (value: number) => string }) {
  const [asTable, setAsTable] = useState(false);
  const points = lines.flatMap((line) => line.points);
  if (points.length === 0) return <p class="empty">No data yet.</p>;
  const from = Math.min(...points.map((p) => p.at_ms));
  const to = Math.max(...points.map((p) => p.at_ms), from + 60_000);
  const marks = ticks(Math.max(...points.map((p) => p.value)));
  const top = marks[marks.length - 1] || 1;
  const x = (at: number) => left + ((at - from) / (to - from)) * (width - left - 12);
  const y = (value: number) => 8 + (1 - value / top) * (height - 8 - bottom);
  const clock = (at: number) => new Date(at).toISOString().slice(11, 16);
  const last = lines.map((line) => `${line.label} ${unit(line.points[line.points.length - 1]?.value ?? 0)}`).join(", ");
  return (
    <figure>
      <figcaption>
        {title} <button type="button" class="quiet small" onClick={() => setAsTable(!asTable)}>{asTable ? "Show as chart" : "Show as table"}</button>
      </figcaption>
      {asTable ? (
        <Table
          caption={title}
          rows={lines.flatMap((line) => line.points.map((p) => ({ label: line.label, ...p })))}
          rowKey={(r) => `${r.label}-${r.at_ms}`}
          columns={[
            { title: "Release", cell: (r) => r.label },
            { title: "Time (UTC)", cell: (r) => clock(r.at_ms) },
            { title: "Value", cell: (r) => unit(r.value), numeric: true },
          ]}
        />
      ) : (
        <svg class="lines" role="img" aria-label={`${title}; latest: ${last}`} viewBox={`0 0 ${width} ${height}`}>
          {marks.map((mark) => (
            <g key={mark}>
              <line class="grid" x1={left} x2={width - 12} y1={y(mark)} y2={y(mark)} />
              <text class="tick" x={left - 6} y={y(mark) + 4} text-anchor="end">{unit(mark)}</text>
            </g>
          ))}
          <text class="tick" x={left} y={height - 6}>{clock(from)}</text>
          <text class="tick" x={width - 12} y={height - 6} text-anchor="end">{clock(to)} UTC</text>
          {lines.map((line, i) => (
            <g key={line.label} class={`series series-${i % 6}`}>
              <polyline points={line.points.map((p) => `${x(p.at_ms).toFixed(1)},${y(p.value).toFixed(1)}`).join(" ")} />
              {line.points.map((p) => <circle key={p.at_ms} cx={x(p.at_ms)} cy={y(p.value)} r="2.5" />)}
            </g>
          ))}
        </svg>
      )}
      <ul class="legend">
        {lines.map((line, i) => <li key={line.label}><span class={`swatch series-swatch-${i % 6}`} aria-hidden="true" /> {line.label}</li>)}
      </ul>
    </figure>
  );
}
