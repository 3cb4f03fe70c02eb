// How much more each canary changed than its control: one dot a pair, the greatest difference first, the tolerated band and
// the line of no difference. The arrow keys go from pair to pair; the same is there as a table.
import { useId, useState } from "preact/hooks";
import { Table } from "../components/table";
import { deviceHref, hasInQuery, toggleInQuery } from "../state/router";
import { percentagePoints, slower, summaryOf, type PairPoint, type PairSet } from "../state/gate";
import { count } from "../state/format";
import { ticks, useWidth } from "./scale";

const height = 200;
const left = 70;
const right = 10;
const top = 10;
const bottom = 24;

const unitOf = (set: PairSet) => (set.unit === "uoct" ? slower : percentagePoints);

// Latency is drawn by octaves, so that twice as slow and twice as fast are as far from zero; the marks are round percents.
const roundPercents = [-99, -95, -90, -75, -50, -30, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 50, 100, 200, 400, 900, 1_900, 4_900, 9_900, 99_900, 999_900];

export function marksOf(unit: PairSet["unit"], low: number, high: number): number[] {
  if (unit === "ppm") return ticks(low, high);
  const all = roundPercents.map((percent) => Math.log2(1 + percent / 100) * 1e6).filter((at) => at >= low && at <= high);
  const least = (high - low) / 7;
  const kept = [0];
  for (const mark of all.filter((at) => at > 0)) if (mark - kept[kept.length - 1]! >= least) kept.push(mark);
  for (const mark of all.filter((at) => at < 0).reverse()) if (kept[0]! - mark >= least) kept.unshift(mark);
  return kept;
}

function extent(set: PairSet) {
  const values = [...set.points.map((point) => point.value), set.margin, -set.margin, 0];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.06, 1);
  return { low: low - room, high: high + room };
}

export const pairName = (point: PairPoint) => `${point.canary} → ${point.control}`;

function Drawing({ set, at, width }: { set: PairSet; at: number | undefined; width: number }) {
  const { low, high } = extent(set);
  const y = (value: number) => top + (1 - (value - low) / (high - low)) * (height - top - bottom);
  const step = (width - left - right) / Math.max(set.points.length, 1);
  const x = (i: number) => left + step * (i + 0.5);
  const radius = Math.max(2, Math.min(5, step / 2.5));
  return (
    <svg aria-hidden="true" width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
      <rect class="pair-band" x={left} y={y(set.margin)} width={width - left - right} height={Math.max(y(-set.margin) - y(set.margin), 0)} />
      {marksOf(set.unit, low, high).filter((mark) => mark >= low && mark <= high).map((mark) => (
        <g key={mark}>
          <line class={mark === 0 ? "pair-zero" : "grid"} x1={left} x2={width - right} y1={y(mark)} y2={y(mark)} />
          <text class="tick" x={left - 8} y={y(mark) + 4} text-anchor="end">{unitOf(set)(mark)}</text>
        </g>
      ))}
      <line class="pair-margin" x1={left} x2={width - right} y1={y(set.margin)} y2={y(set.margin)} />
      {set.points.map((point, i) => (
        <g key={pairName(point)} class={`pair${point.value > set.margin ? " pair-beyond" : ""}${point.silent ? " pair-silent" : ""}${i === at ? " pair-at" : ""}`}>
          {step > 7 && <line x1={x(i)} x2={x(i)} y1={y(0)} y2={y(point.value)} />}
          <circle cx={x(i).toFixed(1)} cy={y(point.value).toFixed(1)} r={i === at ? radius + 2 : radius} />
        </g>
      ))}
      <text class="tick" x={left + (width - left - right) / 2} y={height - 6} text-anchor="middle">pairs, the greatest difference first</text>
    </svg>
  );
}

function sentence(set: PairSet, point: PairPoint): string {
  const beyond = point.value > set.margin ? "beyond the margin" : "within the margin";
  return `${pairName(point)}: ${unitOf(set)(point.value)}, ${beyond}${point.silent ? ", the canary is silent now" : ""}`;
}

function Plot({ set, title }: { set: PairSet; title: string }) {
  const id = useId();
  const { ref, width } = useWidth(560);
  const [chosen, setAt] = useState<number>();
  const most = set.points.length - 1;
  const at = chosen === undefined ? undefined : Math.min(chosen, most);
  const key = (event: KeyboardEvent) => {
    const from = at ?? -1;
    const to = { ArrowRight: from + 1, ArrowUp: from + 1, ArrowLeft: from - 1, ArrowDown: from - 1, Home: 0, End: most, PageUp: from + 10, PageDown: from - 10 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    setAt(Math.max(0, Math.min(most, to)));
  };
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left - left) / Math.max(width - left - right, 1)) * set.points.length);
    setAt(Math.max(0, Math.min(most, place)));
  };
  const shown = at === undefined ? undefined : set.points[at]!;
  return (
    <>
      <div ref={ref} class="drawing pair-plot" role="slider" tabIndex={0} aria-label={`${title}, pair by pair`} aria-describedby={`${id}-summary`} aria-valuemin={1} aria-valuemax={most + 1}
        aria-valuenow={(at ?? 0) + 1} aria-valuetext={sentence(set, shown ?? set.points[0]!)} onKeyDown={key} onPointerMove={point} onPointerDown={point}>
        <Drawing set={set} at={at} width={width} />
      </div>
      <ul class="legend">
        <li><span class="swatch pair-swatch-beyond" aria-hidden="true" /> beyond the margin <strong>{count(set.points.filter((one) => one.value > set.margin).length)}</strong></li>
        <li><span class="swatch pair-swatch" aria-hidden="true" /> not beyond it <strong>{count(set.points.filter((one) => one.value <= set.margin).length)}</strong></li>
        <li><span class="swatch pair-swatch-margin" aria-hidden="true" /> margin {unitOf(set)(set.margin)}</li>
      </ul>
      <p id={`${id}-summary`} class="pair-summary">{summaryOf(set)}</p>
      <p class="pair-here">{shown
        ? <><a class="mono" href={deviceHref(shown.canary)}>{shown.canary}</a> → <a class="mono" href={deviceHref(shown.control)}>{shown.control}</a> <strong>{unitOf(set)(shown.value)}</strong> <span class="dim">canary {shown.before[0]} → {shown.now[0]}, control {shown.before[1]} → {shown.now[1]}{shown.silent && ", the canary is silent now"}</span></>
        : <span class="dim">Point at a pair, or go through them with the arrow keys.</span>}</p>
    </>
  );
}

export function PairPlot({ set }: { set: PairSet }) {
  const asTable = hasInQuery("table", "pairs");
  const title = set.unit === "uoct" ? "How much more each canary slowed down than its control" : "How much more each canary went wrong than its control";
  if (set.points.length === 0) return <p class="empty">{summaryOf(set)}</p>;
  return (
    <figure>
      <figcaption>
        <span>{title}</span>
        <button type="button" class="quiet small" aria-pressed={asTable} onClick={() => toggleInQuery("table", "pairs")}>Show as table</button>
      </figcaption>
      {asTable ? (
        <>
          <Table caption={`${title}: ${set.label}`} rows={set.points} rowKey={pairName} columns={[
            { title: "Canary", cell: (p) => <a class="mono" href={deviceHref(p.canary)}>{p.canary}</a> },
            { title: "before → now", cell: (p) => `${p.before[0]} → ${p.now[0]}`, numeric: true },
            { title: "Control", cell: (p) => <a class="mono" href={deviceHref(p.control)}>{p.control}</a> },
            { title: "its before → now", cell: (p) => `${p.before[1]} → ${p.now[1]}`, numeric: true },
            { title: "Difference", cell: (p) => <strong>{unitOf(set)(p.value)}</strong>, numeric: true },
            { title: "Margin", cell: (p) => `${p.value > set.margin ? "beyond" : "within"} ${unitOf(set)(set.margin)}${p.silent ? ", silent now" : ""}` },
          ]} />
          <p class="pair-summary">{summaryOf(set)}</p>
        </>
      ) : <Plot key={set.key} set={set} title={`${title}, ${set.label}, ${count(set.points.length)} pairs`} />}
    </figure>
  );
}
