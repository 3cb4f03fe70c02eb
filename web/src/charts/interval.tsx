// A measured value with its bound beside the limit it must keep: a decoration of a table row, whose cells say the same.
import type { GateMeasurement } from "../api/types";

const width = 120;
const middle = 9;

export function Interval({ measurement: m }: { measurement: GateMeasurement }) {
  const values = [m.value, m.low ?? m.value, m.high ?? m.value, m.threshold].filter(Number.isFinite);
  if (values.length < 4) return null;
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const x = (value: number) => (max > min ? 8 + ((value - min) / (max - min)) * (width - 16) : width / 2);
  const limit = x(m.threshold);
  return (
    <svg class={`interval interval-${m.verdict}`} aria-hidden="true" width={width} height="18" viewBox={`0 0 ${width} 18`}>
      {m.op !== "==" && <rect class="interval-allowed" x={m.op === ">=" ? limit : 0} y="2" width={m.op === ">=" ? width - limit : limit} height="14" />}
      <line class="interval-limit" x1={limit} x2={limit} y1="2" y2="16" />
      <line class="interval-range" x1={x(m.low ?? m.value)} x2={x(m.high ?? m.value)} y1={middle} y2={middle} />
      <circle class="interval-value" cx={x(m.value)} cy={middle} r="3.5" />
    </svg>
  );
}
