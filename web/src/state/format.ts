// Numbers and times as people read them.

export function count(value: number): string {
  return value.toLocaleString("en");
}

// "1 device", "2 devices".
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

// Three significant digits, so that columns line up and nothing pretends to more.
const three = (value: number) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));

export function microseconds(us: number): string {
  if (!(us > 0)) return "–";
  if (us < 999.5) return `${Math.round(us)} µs`;
  if (us < 999_500) return `${three(us / 1_000)} ms`;
  return `${three(us / 1_000_000)} s`;
}

export function seconds(s: number): string {
  if (s < 120) return `${count(s)} s`;
  if (s < 7_200) return `${count(Math.round(s / 6) / 10)} min`;
  return `${count(Math.round(s / 360) / 10)} h`;
}

export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let size = value;
  while (size >= 1023.95 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

export function percent(ppm: number | undefined, digits = 1): string {
  return ppm === undefined ? "–" : `${(ppm / 10_000).toFixed(digits)} %`;
}

export function ago(ms: number, now: number): string {
  if (ms <= 0) return "never";
  const passed = Math.max(0, Math.round((now - ms) / 1_000));
  if (passed < 5) return "just now";
  if (passed < 90) return `${passed} s ago`;
  if (passed < 5_400) return `${Math.round(passed / 60)} min ago`;
  if (passed < 129_600) return `${Math.round(passed / 3_600)} h ago`;
  return `${Math.round(passed / 86_400)} d ago`;
}

const valid = (ms: number) => ms > 0 && ms < 8.64e15;

export function absolute(ms: number): string {
  return valid(ms) ? `${new Date(ms).toISOString().replace("T", " ").slice(0, 19)} UTC` : "never";
}

// A time of day (UTC) on axes and in trails, as fine as what it is shown beside.
export function clock(ms: number, precision: "day" | "minute" | "second" = "minute"): string {
  if (!valid(ms)) return "–";
  const text = new Date(ms).toISOString();
  if (precision === "day") return text.slice(5, 10);
  return text.slice(11, precision === "second" ? 19 : 16);
}

// A digest or id shortened in its middle, so that both ends can be compared.
export function shortened(text: string, keep = 6): string {
  return text.length <= 2 * keep + 3 ? text : `${text.slice(0, keep)}…${text.slice(-keep)}`;
}

// One value of a gate report with its unit.
export function gateValue(value: number, unit: string): string {
  if (unit === "ppm") return percent(value, 2);
  if (unit === "us") return microseconds(value);
  if (unit === "bytes") return bytes(value);
  if (unit === "ratio") return `${value.toFixed(3)}×`;
  return count(value);
}

// ">=" as it is printed.
export function comparison(op: string): string {
  return op === ">=" ? "≥" : op === "<=" ? "≤" : op === "==" ? "=" : op;
}
