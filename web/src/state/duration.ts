// Durations as people type them ("90", "90s", "15m", "1h30m", "7d") and as the API takes them: whole seconds.
const units: [name: string, seconds: number][] = [["d", 86_400], ["h", 3_600], ["m", 60], ["s", 1]];
const names: Record<string, number> = {
  d: 86_400, day: 86_400, days: 86_400, h: 3_600, hour: 3_600, hours: 3_600, m: 60, min: 60, minute: 60, minutes: 60, s: 1, sec: 1, second: 1, seconds: 1,
};

// undefined: no duration.
export function parseDuration(text: string): number | undefined {
  const clean = text.trim().toLowerCase();
  if (/^\d{1,12}$/.test(clean)) return Number(clean);
  if (!/^(\d{1,12}\s*[a-z]+\s*)+$/.test(clean)) return undefined;
  let sum = 0;
  for (const [, number, unit] of clean.matchAll(/(\d+)\s*([a-z]+)/g)) {
    const seconds = names[unit!];
    if (seconds === undefined) return undefined;
    sum += Number(number) * seconds;
  }
  return sum;
}

// The shortest text that means the same: 5400 → "1h30m".
export function durationText(seconds: number): string {
  let rest = seconds;
  const parts = units.flatMap(([name, size]) => {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    return whole > 0 ? [`${whole}${name}`] : [];
  });
  return parts.join("") || "0s";
}
