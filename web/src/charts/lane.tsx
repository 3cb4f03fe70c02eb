// Which release ran when on one device: spans on a line, and a mark where an update went badly.
import type { TimelineItem } from "../api/types";
import { wordOf } from "../state/words";
import { clock } from "../state/format";
import { setbacks, spansOf } from "../state/timeline";
import { timeTicks, useWidth } from "./scale";

const height = 58;
const bar = { y: 8, height: 26 };

function sentence(spans: ReturnType<typeof spansOf>, bad: TimelineItem[]): string {
  const ran = spans.map((s, i) => (i === spans.length - 1 ? `${s.version} since ${clock(s.from_ms, "second")}` : `${s.version} from ${clock(s.from_ms, "second")} to ${clock(s.to_ms, "second")}`));
  return [...ran, ...bad.map((item) => `${item.version} ${wordOf(item.state ?? "")} at ${clock(item.at_ms, "second")}`)].join(", ");
}

export function Lane({ items, model, now }: { items: TimelineItem[]; model: string; now: number }) {
  const { ref, width } = useWidth(900);
  const spans = spansOf(items, model, now);
  if (spans.length === 0) return null;
  const bad = setbacks(items, model);
  const from = Math.min(spans[0]!.from_ms, ...bad.map((item) => item.at_ms));
  const to = Math.max(spans[spans.length - 1]!.to_ms, from + 1_000);
  const x = (at: number) => 1 + ((at - from) / (to - from)) * (width - 2);
  const times = timeTicks(from, to, Math.max(2, Math.floor(width / 110)));
  const versions = [...new Set(spans.map((span) => span.version))];
  return (
    <div class="drawing lane" ref={ref}>
      <svg role="img" aria-label={`What ran when (UTC): ${sentence(spans, bad)}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`}>
        <rect class="tone-empty" x="0" y={bar.y} width={width} height={bar.height} rx="5" />
        {spans.map((span) => {
          const [begin, end] = [x(span.from_ms), x(span.to_ms)];
          return (
            <g key={span.from_ms}>
              <rect class={`series-swatch-${versions.indexOf(span.version) % 6}`} x={begin} y={bar.y} width={Math.max(end - begin - 2, 2)} height={bar.height} rx="4" />
              {end - begin > 9 * span.version.length && <text class="span-label" x={begin + 8} y={bar.y + 17.5}>{span.version}</text>}
            </g>
          );
        })}
        {bad.map((item) => (
          <g key={item.id} class="setback">
            <line x1={x(item.at_ms)} x2={x(item.at_ms)} y1={bar.y - 5} y2={bar.y + bar.height + 5} />
            <circle cx={x(item.at_ms)} cy={bar.y + bar.height / 2} r="8" />
            <path transform={`translate(${x(item.at_ms) - 6} ${bar.y + bar.height / 2 - 6})`} d="M3.4 3.4l5.2 5.2M8.6 3.4l-5.2 5.2" />
          </g>
        ))}
        {times.at.map((time) => x(time) > 16 && x(time) < width - 16 && <text key={time} class="tick" x={x(time)} y={height - 4} text-anchor="middle">{clock(time, times.precision)}</text>)}
      </svg>
    </div>
  );
}
