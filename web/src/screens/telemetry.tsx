import type { ClassTelemetry, List, ReleaseTelemetry, SeriesPoint, Telemetry } from "../api/types";
import { Lines, type Line } from "../charts/lines";
import { Card } from "../components/card";
import { DriftCard } from "../components/drift-card";
import { Empty, Loaded } from "../components/notes";
import { measuredColumns } from "../components/measured-columns";
import { Table } from "../components/table";
import { bytes, count, microseconds } from "../state/format";
import { location, releaseHref, setQuery, useTitle } from "../state/router";
import { useResource } from "../state/resource";

const windows: [string, string][] = [["3600", "last hour"], ["86400", "last day"], ["604800", "last week"], ["2592000", "last 30 days"]];

function lines(releases: ReleaseTelemetry[], value: (point: SeriesPoint) => number, useful: (point: SeriesPoint) => boolean): Line[] {
  return releases.map((r, color) => ({ label: r.version, color, points: r.series.filter(useful).map((p) => ({ at_ms: p.at_ms, value: value(p) })) }));
}

function ByRelease({ telemetry: t }: { telemetry: Telemetry }) {
  return (
    <Table caption="Telemetry by release" rows={t.releases} rowKey={(r) => r.version} columns={[
      { title: "Release", cell: (r) => <a href={releaseHref(t.model, r.version)}>{r.version}</a> },
      { title: "Devices", cell: (r) => count(r.devices), numeric: true },
      ...measuredColumns,
      { title: "Labelled", cell: (r) => count(r.labelled), numeric: true },
      { title: "Worker memory", cell: (r) => (r.worker_memory_bytes > 0 ? bytes(r.worker_memory_bytes) : "–"), numeric: true },
    ]} />
  );
}

// One row for each release on each hardware class: a release is gated on some classes, and runs on whatever there is.
function ByClass({ model }: { model: string }) {
  const classes = useResource<List<ClassTelemetry>>(`/telemetry/classes?model=${encodeURIComponent(model)}`, ["releases"], 30_000);
  return (
    <Loaded resource={classes}>
      {(list) => list.items.length === 0 ? <Empty>No device has told anything of this model.</Empty> : (
        <Table caption="By release and hardware class, since each device took the release" rows={list.items} rowKey={(r) => `${r.version} ${r.hardware_class}`} columns={[
          { title: "Release", cell: (r) => <a href={releaseHref(model, r.version)}>{r.version}</a> },
          { title: "Hardware class", cell: (r) => r.hardware_class || "not told" },
          { title: "Devices", cell: (r) => count(r.devices), numeric: true },
          ...measuredColumns,
        ]} />
      )}
    </Loaded>
  );
}

export const classesMax = 20;

interface ClassRow {
  label: string;
  shares: number[]; // one for each release, of its own answers
}

// The classes by how often they are answered; a class that one release answers far more often than another stands out.
export function classRows(labels: string[], releases: ReleaseTelemetry[]): ClassRow[] {
  const totals = releases.map((r) => r.classes.reduce((sum, n) => sum + n, 0));
  const size = Math.max(0, ...releases.map((r) => r.classes.length));
  return Array.from({ length: size }, (_, i) => ({ label: labels[i] ?? `class ${i}`, shares: releases.map((r, k) => (r.classes[i] ?? 0) / totals[k]!) }));
}

const largest = (row: ClassRow) => Math.max(...row.shares);

function Classes({ telemetry: t }: { telemetry: Telemetry }) {
  const colors = t.releases.map((release, color) => ({ release, color })).filter(({ release }) => release.classes.some((n) => n > 0));
  const rows = classRows(t.labels, colors.map(({ release }) => release));
  if (rows.length === 0) return <Empty>No release has answered with classes.</Empty>;
  const shown = rows.length <= classesMax ? rows : [...rows].sort((a, b) => largest(b) - largest(a)).slice(0, classesMax);
  const scale = Math.max(...shown.map(largest));
  return (
    <>
      <Table caption="Share of each class in a release's answers" rows={shown} rowKey={(row) => row.label} columns={[
        { title: "Class", cell: (row) => row.label },
        ...colors.map(({ release, color }, k) => ({
          title: release.version,
          cell: (row: ClassRow) => (
            <span class="share">
              <span class="share-number">{(100 * row.shares[k]!).toFixed(1)} %</span>
              <svg aria-hidden="true" width="100%" height="10" viewBox="0 0 100 10" preserveAspectRatio="none"><rect class={`series-swatch-${color % 6}`} width={(100 * row.shares[k]!) / scale} height="10" /></svg>
            </span>
          ),
        })),
      ]} />
      {shown.length < rows.length && <p class="dim">The {classesMax} most frequent of {count(rows.length)} classes.</p>}
    </>
  );
}

function Model({ model, window }: { model: string; window: string }) {
  const drift = <DriftCard key={model} model={model} window_s={Number(window) || 3_600} />;
  const telemetry = useResource<Telemetry>(`/telemetry?model=${encodeURIComponent(model)}&window_s=${encodeURIComponent(window)}`, ["releases"], 10_000);
  return (
    <Loaded resource={telemetry}>
      {(t) => t.releases.length === 0 ? <div class="columns"><Card title="By release" wide><Empty>No telemetry in this time.</Empty></Card>{drift}</div> : (
        <div class="columns">
          <Card title="By release" wide><ByRelease telemetry={t} /></Card>
          <Card title="By hardware class" wide><ByClass key={model} model={model} /></Card>
          {drift}
          <Card title="Latency"><Lines name="latency" title="p99 of inferences" unit={microseconds} step_s={t.step_s} fromZero lines={lines(t.releases, (p) => p.p99_us, (p) => p.count > 0)} /></Card>
          <Card title="Accuracy"><Lines name="accuracy" title="Right answers of labelled ones" unit={(v) => `${v.toFixed(1)} %`} step_s={t.step_s} lines={lines(t.releases, (p) => (100 * p.right) / p.labelled, (p) => p.labelled > 0)} /></Card>
          <Card title="Load"><Lines name="load" title="Inferences per minute" unit={(v) => count(Math.round(v))} step_s={t.step_s} fromZero lines={lines(t.releases, (p) => (p.count * 60) / t.step_s, () => true)} /></Card>
          <Card title="Errors"><Lines name="errors" title="Failed inferences" unit={(v) => `${v.toFixed(2)} %`} step_s={t.step_s} fromZero lines={lines(t.releases, (p) => (100 * p.errors) / (p.count + p.errors), (p) => p.count + p.errors > 0)} /></Card>
          <Card title="Answers by class" wide><Classes telemetry={t} /></Card>
        </div>
      )}
    </Loaded>
  );
}

export function TelemetryScreen() {
  useTitle("Telemetry");
  const models = useResource<List<{ model: string }>>("/models?limit=200", ["releases"]);
  const query = location.value.query;
  const window = query.get("window") ?? "3600";
  return (
    <div class="page">
      <h1>Telemetry</h1>
      <Loaded resource={models}>
        {(list) => {
          const model = query.get("model") ?? list.items[0]?.model;
          if (!model) return <Card title="No data yet"><Empty>No model is published yet.</Empty></Card>;
          return (
            <>
              <form class="filters" onSubmit={(event) => event.preventDefault()}>
                <label for="model">Model</label>
                <select id="model" value={model} onChange={(event) => setQuery("model", (event.target as HTMLSelectElement).value)}>
                  {list.items.map((m) => <option key={m.model} value={m.model}>{m.model}</option>)}
                </select>
                <label for="window">Time</label>
                <select id="window" value={window} onChange={(event) => setQuery("window", (event.target as HTMLSelectElement).value)}>
                  {windows.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
                </select>
              </form>
              <Model model={model} window={window} />
            </>
          );
        }}
      </Loaded>
    </div>
  );
}
