// Axes: where ticks stand and how wide a drawing is.
import { useEffect, useRef, useState } from "preact/hooks";

// Round values (1, 2, 5 × 10^k) that enclose [low, high]; about `wanted` of them.
export function ticks(low: number, high: number, wanted = 4): number[] {
  if (!(high > low)) high = low + (Math.abs(low) || 1);
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

const minute = 60_000;
const timeSteps = [10_000, 30_000, minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, 60 * minute, 180 * minute, 360 * minute, 720 * minute,
  1_440 * minute, 2_880 * minute, 10_080 * minute];

// Round times inside [from, to], at most `most`.
export function timeTicks(from: number, to: number, most = 6): { at: number[]; precision: "day" | "minute" | "second" } {
  const step = timeSteps.find((s) => (to - from) / s <= most) ?? timeSteps[timeSteps.length - 1]!;
  const at: number[] = [];
  for (let time = Math.ceil(from / step) * step; time <= to && at.length < most + 1; time += step) at.push(time);
  return { at, precision: step < minute ? "second" : step >= 1_440 * minute ? "day" : "minute" };
}

// The width of an element in pixels, so that text in a drawing keeps its size. `otherwise` until it is known.
export function useWidth(otherwise: number) {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(otherwise);
  useEffect(() => {
    const element = ref.current;
    if (!element || typeof ResizeObserver === "undefined") return undefined;
    const observer = new ResizeObserver(() => element.clientWidth > 0 && setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return { ref, width };
}
