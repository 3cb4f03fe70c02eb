import type { Gate, GateMeasurement, Release } from "../api/types";
import { StackedBar } from "../charts/stacked-bar";
import { Card, Facts } from "../components/card";
import { Empty, Loaded, ProblemNote } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { bytes, count, gateValue, microseconds, percent, shortened } from "../state/format";
import { useResource } from "../state/resource";

function bound(m: GateMeasurement): string {
  if (m.low !== undefined && m.high !== undefined) return `${gateValue(m.low, m.unit)} … ${gateValue(m.high, m.unit)}`;
  if (m.low !== undefined) return `≥ ${gateValue(m.low, m.unit)}`;
  if (m.high !== undefined) return `≤ ${gateValue(m.high, m.unit)}`;
  return "–";
}

function GateCard({ gate }: { gate: Gate }) {
  return (
    <Card title="CI gate report" wide>
      <p class="lead">
        <Status state={gate.result} /> <Status state={gate.verified ? "verified" : "not verified"} word={gate.verified ? "signature verified by this server just now" : "not verified"} />
      </p>
      {gate.error && <ProblemNote problem={{ status: 0, code: "gate", title: "It would be refused today", detail: gate.error }} />}
      {gate.report ? (
        <>
          <Table caption="Gate checks" rows={gate.report.measurements} rowKey={(m) => m.id} columns={[
            { title: "Check", cell: (m) => <span class="mono">{m.id}</span> },
            { title: "Verdict", cell: (m) => <Status state={m.verdict} /> },
            { title: "Value", cell: (m) => gateValue(m.value, m.unit), numeric: true },
            { title: "Bound", cell: bound, numeric: true },
            { title: "Limit", cell: (m) => `${m.op} ${gateValue(m.threshold, m.unit)}`, numeric: true },
            { title: "n", cell: (m) => count(m.n), numeric: true },
            { title: "In words", cell: (m) => m.detail },
          ]} />
          <Facts items={[
            ["Data set", <>{gate.report.dataset.name}, {count(gate.report.dataset.samples)} samples <code>{shortened(gate.report.dataset.sha256)}</code></>],
            ["Runtime", `${gate.report.runtime.name} ${gate.report.runtime.version}`],
            ["Finished", gate.report.finishedOn],
            ["Commit", gate.report.invocation?.commit || "–"],
            ["Signed by", `${gate.keys_counted} trusted gate key(s)`],
          ]} />
        </>
      ) : <Empty>There is no readable report.</Empty>}
    </Card>
  );
}

function Variants({ release }: { release: Release }) {
  const rows = release.variants.flatMap((v) => (v.measured.length > 0 ? v.measured : [undefined]).map((m) => ({ v, m })));
  return (
    <Table caption="Variants" rows={rows} rowKey={({ v, m }) => `${v.name}-${m?.hardware_class ?? ""}`} columns={[
      { title: "Variant", cell: ({ v }) => v.name },
      { title: "Precision", cell: ({ v }) => v.precision },
      { title: "Size", cell: ({ v }) => bytes(v.file_length), numeric: true },
      { title: "Measured on", cell: ({ m }) => <span class="mono">{m?.hardware_class ?? "–"}</span> },
      { title: "Accuracy", cell: ({ m }) => percent(m?.accuracy_ppm), numeric: true },
      { title: "p50", cell: ({ m }) => microseconds(m?.latency_p50_us ?? 0), numeric: true },
      { title: "p99", cell: ({ m }) => microseconds(m?.latency_p99_us ?? 0), numeric: true },
      { title: "Memory", cell: ({ m }) => (m?.memory_peak_bytes ? bytes(m.memory_peak_bytes) : "–"), numeric: true },
      { title: "Devices", cell: ({ v }) => count(v.devices), numeric: true },
      { title: "SHA-256", cell: ({ v }) => <code title={v.file_sha256}>{shortened(v.file_sha256)}</code> },
    ]} />
  );
}

export function ReleaseScreen({ model, version }: { model: string; version: string }) {
  const release = useResource<Release>(`/releases/${encodeURIComponent(model)}/${encodeURIComponent(version)}`, ["releases", "rollouts", "devices"]);
  return (
    <div class="page">
      <h1>{model} {version}</h1>
      <Loaded resource={release}>
        {(r) => (
          <>
            <p class="lead"><Status state={r.state} /> {r.description}</p>
            <div class="columns">
              <GateCard gate={r.gate} />
              <Card title="Variants" wide><Variants release={r} /></Card>
              <Card title="Release">
                <Facts items={[
                  ["Counter", count(r.counter)],
                  ["Published", <><When ms={r.published_ms} /> by {r.published_by}</>],
                  ["Manifest", <code title={r.manifest_sha256}>{shortened(r.manifest_sha256, 10)}</code>],
                  ["Attestations", <code title={r.gate.attestations_sha256}>{shortened(r.gate.attestations_sha256, 10)}</code>],
                ]} />
              </Card>
              <Card title="Adoption">
                <StackedBar what="Devices" parts={[
                  { label: "on this release", value: r.devices.running, tone: "tone-good" },
                  { label: "on another or none", value: r.devices.total - r.devices.running, tone: "tone-wait" },
                ]} />
                {r.rollouts.length === 0 ? <Empty>No rollout has used it.</Empty> : (
                  <ul class="plain-list">{r.rollouts.map((ro) => <li key={ro.id}><a href={`/rollouts/${encodeURIComponent(ro.id)}`}>{ro.id}</a> <Status state={ro.state} /></li>)}</ul>
                )}
              </Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
