import { count, microseconds, percent } from "../state/format";

export interface Measured {
  count: number;
  errors: number;
  p50_us: number;
  p95_us: number;
  p99_us: number;
  accuracy_ppm?: number;
}

// What every table of telemetry says of its rows, in the same order and units.
export const measuredColumns = [
  { title: "Inferences", cell: (r: Measured) => count(r.count), numeric: true },
  { title: "Errors", cell: (r: Measured) => count(r.errors), numeric: true },
  { title: "p50", cell: (r: Measured) => microseconds(r.p50_us), numeric: true },
  { title: "p95", cell: (r: Measured) => microseconds(r.p95_us), numeric: true },
  { title: "p99", cell: (r: Measured) => microseconds(r.p99_us), numeric: true },
  { title: "Accuracy", cell: (r: Measured) => percent(r.accuracy_ppm), numeric: true },
];
