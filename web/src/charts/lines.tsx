// Lines over time: one per release. SVG with a sentence, and the same as a table on request.
import { useState } from "preact/hooks";
import { Table } from "../components/table";
import { clock } from "../state/format";
import { hasInQuery, toggleInQuery } from "../state/router";
import { ticks, timeTicks, useWidth } from "./scale";

export interface Point {
  at_ms: number;
  value: number;
}

export interface Line {
  label: string;
  color: number; // the place of the release in its list, so that it keeps its colour in every chart
  points: Point[];
}

interface Props {
  name: string; // in the address, when it is shown as a table
  title: string;
  lines: Line[];
  unit: (value: number) => string;
  step_s: number;
  fromZero?: boolean;
}

const height = 210;
const left = 58;
const right = 10;
const top = 10;
const bottom = 26;

// Where no report came for longer than two steps there is no line.
function pieces(points: Point[], step_s: number): Point[][] {
  const all: Point[][] = [];
  for (const point of points) {
    const last = all[all.length - 1];
    const before = last?.[last.length - 1];
    if (last && before && point.at_ms - before.at_ms <= 2 * step_s * 1_000) last.push(point);
    else all.push([point]);
  }
  return all;
}

function extent(lines: Line[], step_s: number, fromZero: boolean) {
  const points = lines.flatMap((line) => line.points);
  const to = Math.max(...points.map((p) => p.at_ms));
  const from = Math.min(...points.map((p) => p.at_ms), to - 10 * step_s * 1_000);
  const low = Math.min(...points.map((p) => p.value));
  const marks = ticks(fromZero ? Math.min(0, low) : low, Math.max(...points.map((p) => p.value)));
  return { from, to, marks, low: marks[0]!, high: marks[marks.length - 1]! };
}

const nearest = (points: Point[], at: number) => points.reduce((best, p) => (Math.abs(p.at_ms - at) < Math.abs(best.at_ms - at) ? p : best));

function Drawing({ title, lines, unit, step_s, fromZero = false, at, setAt }: Props & { at: number | undefined; setAt: (at: number | undefined) => void }) {
  const { ref, width } = useWidth(560);
  const { from, to, marks, low, high } = extent(lines, step_s, fromZero);
  const x = (time: number) => left + ((time - from) / (to - from)) * (width - left - right);
  const y = (value: number) => top + (1 - (value - low) / (high - low)) * (height - top - bottom);
  const times = timeTicks(from, to, Math.max(2, Math.floor((width - left) / 90)));
  const latest = lines.map((line) => `${line.label} ${unit(line.points[line.points.length - 1]!.value)}`).join(", ");
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const time = from + ((event.clientX - box.left - left) / (width - left - right)) * (to - from);
    setAt(nearest(lines.flatMap((line) => line.points), time).at_ms);
  };
  return (
    <div ref={ref} class="drawing">
      <svg role="img" aria-label={`${title}, ${clock(from)} to ${clock(to)} UTC; latest: ${latest}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`}
        onPointerMove={point} onPointerLeave={() => setAt(undefined)}>
        {marks.map((mark) => (
          <g key={mark}>
            <line class="grid" x1={left} x2={width - right} y1={y(mark)} y2={y(mark)} />
            <text class="tick" x={left - 8} y={y(mark) + 4} text-anchor="end">{mark === 0 ? "0" : unit(mark)}</text>
          </g>
        ))}
        {times.at.map((time) => <text key={time} class="tick" x={Math.min(x(time), width - 18)} y={height - 6} text-anchor="middle">{clock(time, times.precision)}</text>)}
        {at !== undefined && <line class="cursor" x1={x(at)} x2={x(at)} y1={top} y2={height - bottom} />}
        {lines.map((line) => (
          <g key={line.label} class={`series series-${line.color % 6}`}>
            {pieces(line.points, step_s).map((piece) => <polyline key={piece[0]!.at_ms} points={piece.map((p) => `${x(p.at_ms).toFixed(1)},${y(p.value).toFixed(1)}`).join(" ")} />)}
            {line.points.map((p) => <circle key={p.at_ms} cx={x(p.at_ms).toFixed(1)} cy={y(p.value).toFixed(1)} r={p.at_ms === at || line.points.length < 4 ? 4 : line.points.length > 40 ? 0 : 2.5} />)}
          </g>
        ))}
      </svg>
    </div>
  );
}

export function Lines(props: Props) {
  const { name, title, unit } = props;
  const asTable = hasInQuery("table", name);
  const [at, setAt] = useState<number>();
  const lines = props.lines.filter((line) => line.points.length > 0);
  if (lines.length === 0) return <p class="empty">No data yet.</p>;
  return (
    <figure>
      <figcaption>
        <span>{title} <span class="dim">(UTC)</span></span>
        <button type="button" class="quiet small" aria-pressed={asTable} onClick={() => toggleInQuery("table", name)}>Show as table</button>
      </figcaption>
      {asTable ? (
        <Table
          caption={title}
          rows={lines.flatMap((line) => line.points.map((p) => ({ label: line.label, ...p })))}
          rowKey={(r) => `${r.label}-${r.at_ms}`}
          columns={[
            { title: "Release", cell: (r) => r.label },
            { title: "Time", cell: (r) => `${clock(r.at_ms, "day")} ${clock(r.at_ms)}` },
            { title: "Value", cell: (r) => unit(r.value), numeric: true },
          ]}
        />
      ) : <Drawing {...props} lines={lines} at={at} setAt={setAt} />}
      <ul class="legend">
        {lines.map((line) => {
          const shown = at === undefined ? line.points[line.points.length - 1] : line.points.find((p) => p.at_ms === at);
          return (
            <li key={line.label}>
              <span class={`swatch series-swatch-${line.color % 6}`} aria-hidden="true" /> {line.label} <strong>{shown ? unit(shown.value) : "–"}</strong>
            </li>
          );
        })}
        <li class="dim">{at === undefined ? "latest" : `at ${clock(at)}`}</li>
      </ul>
    </figure>
  );
}
