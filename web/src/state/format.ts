// Numbers and times as people read them.

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function microseconds(us: number): string {
  if (us <= 0) return "–";
  if (us < 1_000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${(us / 1_000).toFixed(us < 10_000 ? 2 : 1)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

export function percent(ppm: number | undefined): string {
  return ppm === undefined ? "–" : `${(ppm / 10_000).toFixed(1)} %`;
}

export function ago(ms: number, now: number): string {
  if (ms <= 0) return "never";
  const seconds = Math.max(0, Math.round((now - ms) / 1_000));
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3_600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

export function absolute(ms: number): string {
  return ms > 0 ? `${new Date(ms).toISOString().replace("T", " ").slice(0, 19)} UTC` : "never";
}

// A digest or id shortened in its middle, so that both ends can be compared.
export function shortened(text: string, keep = 6): string {
  return text.length <= 2 * keep + 3 ? text : `${text.slice(0, keep)}…${text.slice(-keep)}`;
}

// One value of a gate report with its unit.
export function gateValue(value: number, unit: string): string {
  if (unit === "ppm") return `${(value / 10_000).toFixed(2)} %`;
  if (unit === "us") return microseconds(value);
  if (unit === "bytes") return bytes(value);
  if (unit === "ratio") return `${value.toFixed(3)}×`;
  return count(value);
}
