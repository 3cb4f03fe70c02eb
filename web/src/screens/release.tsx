import type { Gate, GateMeasurement, GateReport, Release } from "../api/types";
import { Interval } from "../charts/interval";
import { StackedBar } from "../charts/stacked-bar";
import { Card, Facts } from "../components/card";
import { Command, Digest } from "../components/copy";
import { Empty, Loaded, ProblemNote } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { bytes, comparison, count, gateValue, microseconds, percent, plural } from "../state/format";
import { newRolloutHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

// "accuracy.top1@x86_64-…/fp32" → what is checked, of which variant, on which hardware.
export function checkParts(id: string): { check: string; hardware: string; variant: string } {
  const [check = id, scope = ""] = id.split("@", 2);
  const slash = scope.lastIndexOf("/");
  return slash < 0 ? { check, hardware: scope, variant: "" } : { check, hardware: scope.slice(0, slash), variant: scope.slice(slash + 1) };
}

export function bound(m: GateMeasurement): string {
  if (m.low !== undefined && m.high !== undefined) return `${gateValue(m.low, m.unit)} … ${gateValue(m.high, m.unit)}`;
  if (m.low !== undefined) return `≥ ${gateValue(m.low, m.unit)}`;
  if (m.high !== undefined) return `≤ ${gateValue(m.high, m.unit)}`;
  return "–";
}

function Check({ id }: { id: string }) {
  const { check, hardware, variant } = checkParts(id);
  return <><strong>{check}</strong> {variant}{hardware && <span class="check-where mono">{hardware}</span>}</>;
}

function Report({ report, keys }: { report: GateReport; keys: number }) {
  const when = Date.parse(report.finishedOn);
  return (
    <>
      <Table caption="Checks of the CI gate" rows={report.measurements} rowKey={(m) => m.id} columns={[
        { title: "Check", cell: (m) => <Check id={m.id} /> },
        { title: "Verdict", cell: (m) => <Status state={m.verdict} /> },
        { title: "Measured", cell: (m) => gateValue(m.value, m.unit), numeric: true },
        { title: "Bound", cell: bound, numeric: true },
        { title: "Limit", cell: (m) => `${comparison(m.op)} ${gateValue(m.threshold, m.unit)}`, numeric: true },
        { title: "Margin", cell: (m) => <Interval measurement={m} /> },
        { title: "n", cell: (m) => count(m.n), numeric: true },
        { title: "In words", cell: (m) => <span class="dim">{m.detail}</span> },
      ]} />
      <Facts items={[
        ["Data set", <>{report.dataset.name}, {count(report.dataset.samples)} samples <Digest value={report.dataset.sha256} what="data set digest" /></>],
        ["Runtime", `${report.runtime.name} ${report.runtime.version}`],
        ["Finished", <When ms={Number.isNaN(when) ? 0 : when} />],
        ["Commit", report.invocation?.commit || "–"],
        ["Signed by", plural(keys, "trusted gate key")],
      ]} />
    </>
  );
}

function GateCard({ gate }: { gate: Gate }) {
  return (
    <Card title="CI gate report" wide actions={(
      <span class="labels">
        <Status state={gate.result} />
        <Status state={gate.verified ? "verified" : "not verified"} word={gate.verified ? "signature verified by this server just now" : "not verified"} />
      </span>
    )}>
      {gate.error && <ProblemNote problem={{ status: 0, code: "gate", title: "It would be refused today", detail: gate.error }} />}
      {gate.report ? <Report report={gate.report} keys={gate.keys_counted} /> : <Empty>There is no readable report.</Empty>}
    </Card>
  );
}

function Variants({ release }: { release: Release }) {
  const rows = release.variants.flatMap((v) => (v.measured.length > 0 ? v.measured : [undefined]).map((m) => ({ v, m })));
  return (
    <Table caption="Variants" rows={rows} rowKey={({ v, m }) => `${v.name}-${m?.hardware_class ?? ""}`} columns={[
      { title: "Variant", cell: ({ v }) => <strong>{v.name}</strong> },
      { title: "Precision", cell: ({ v }) => v.precision },
      { title: "Size", cell: ({ v }) => bytes(v.file_length), numeric: true },
      { title: "Measured on", cell: ({ m }) => <span class="mono">{m?.hardware_class ?? "–"}</span> },
      { title: "Accuracy", cell: ({ m }) => percent(m?.accuracy_ppm, 2), numeric: true },
      { title: "p50", cell: ({ m }) => microseconds(m?.latency_p50_us ?? 0), numeric: true },
      { title: "p99", cell: ({ m }) => microseconds(m?.latency_p99_us ?? 0), numeric: true },
      { title: "Memory", cell: ({ m }) => (m?.memory_peak_bytes ? bytes(m.memory_peak_bytes) : "–"), numeric: true },
      { title: "Devices", cell: ({ v }) => count(v.devices), numeric: true },
      { title: "SHA-256", cell: ({ v }) => <Digest value={v.file_sha256} what="file digest" /> },
    ]} />
  );
}

function Adoption({ release: r }: { release: Release }) {
  return (
    <>
      <StackedBar what="Devices" parts={[
        { label: "on this release", value: r.devices.running, tone: "tone-good" },
        { label: "on another or none", value: r.devices.total - r.devices.running, tone: "tone-wait" },
      ]} />
      <h3>Rollouts</h3>
      {r.rollouts.length === 0 ? <><Empty>No rollout has used it.</Empty><Command line={`ferry rollout create ${r.model}@${r.version}`} /></> : (
        <ul class="plain-list">{r.rollouts.map((ro) => <li key={ro.id}><a class="mono" href={rolloutHref(ro.id)}>{ro.id}</a> <Status state={ro.state} /></li>)}</ul>
      )}
    </>
  );
}

export function ReleaseScreen({ model, version }: { model: string; version: string }) {
  useTitle(`${model} ${version}`);
  const release = useResource<Release>(`/releases/${encodeURIComponent(model)}/${encodeURIComponent(version)}`, ["releases", "rollouts", "devices"]);
  return (
    <div class="page">
      <p class="crumb"><a href="/releases">Releases</a></p>
      <div class="title">
        <h1>{model} {version}</h1>
        {release.value && <><Status state={release.value.state} /> <span class="dim">{release.value.description}</span></>}
        <span class="spring" /><a class="button primary" href={newRolloutHref(model, version)}>Create rollout</a>
      </div>
      <Loaded resource={release}>
        {(r) => (
          <div class="columns">
            <GateCard gate={r.gate} />
            <Card title="Variants" wide><Variants release={r} /></Card>
            <Card title="Release">
              <Facts items={[
                ["Counter", count(r.counter)],
                ["Published", <><When ms={r.published_ms} /> by {r.published_by}</>],
                ["Manifest", <Digest value={r.manifest_sha256} what="manifest digest" keep={10} />],
                ["Attestations", <Digest value={r.gate.attestations_sha256} what="attestations digest" keep={10} />],
              ]} />
            </Card>
            <Card title="Adoption"><Adoption release={r} /></Card>
          </div>
        )}
      </Loaded>
    </div>
  );
}
