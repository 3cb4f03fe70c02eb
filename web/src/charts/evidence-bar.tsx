// Evidence on a logarithmic scale: 1 says nothing, to the right it speaks for harm, to the left against it; a line where it
// suffices. A decoration: the number stands beside it.
interface Props {
  unats: number;
  threshold: number; // 0: this one alone decides nothing
  scale: number; // micro-nats at which "enough" lies, the same for all bars of a table
}

const width = 240;
const height = 14;

export function EvidenceBar({ unats, threshold, scale }: Props) {
  const most = Math.max(scale, 1) * 2;
  const x = (value: number) => ((Math.max(-most / 2, Math.min(most, value)) + most / 2) / (1.5 * most)) * width;
  const [one, here] = [x(0), x(unats)];
  const tone = threshold > 0 && unats >= threshold ? "evidence-enough" : unats > 0 ? "evidence-for" : "evidence-against";
  return (
    <svg class="evidence" aria-hidden="true" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none">
      <rect class="tone-empty" x="0" y="3" width={width} height={height - 6} />
      <rect class={tone} x={Math.min(one, here)} y="3" width={Math.max(Math.abs(here - one), 1)} height={height - 6} />
      <line class="evidence-one" x1={one} x2={one} y1="1" y2={height - 1} />
      {threshold > 0 && <line class="evidence-limit" x1={x(threshold)} x2={x(threshold)} y1="0" y2={height} />}
    </svg>
  );
}
