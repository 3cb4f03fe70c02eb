import type { Device, DeviceModel, List, SlotEntry, TimelineItem } from "../api/types";
import { Card, Facts } from "../components/card";
import { Empty, Loaded } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { Timeline } from "../components/timeline";
import { When } from "../components/when";
import { bytes, count, microseconds, percent, shortened } from "../state/format";
import { useResource } from "../state/resource";
import { Labels } from "./devices";

function Slot({ name, entry, model }: { name: "a" | "b"; entry: SlotEntry | null; model: DeviceModel }) {
  const active = model.active?.slot === name;
  const candidate = !entry && model.update.slot === name && model.update.state !== "idle";
  const role = active ? "active" : candidate ? "candidate" : entry ? "previous" : "empty";
  return (
    <div class={`slot slot-${role}`}>
      <p class="slot-head"><strong>Slot {name.toUpperCase()}</strong> <Status state={role === "active" ? "active" : candidate ? "trial" : role} word={role} /></p>
      {entry ? (
        <Facts items={[
          ["Release", <a href={`/releases/${encodeURIComponent(model.model)}/${encodeURIComponent(entry.version)}`}>{model.model} {entry.version}</a>],
          ["Variant", entry.variant],
          ["Why this variant", entry.variant_reason || "–"],
          ["Manifest", <code title={entry.manifest_sha256}>{shortened(entry.manifest_sha256)}</code>],
        ]} />
      ) : <p class="dim">{candidate ? `${model.update.release?.version ?? ""} is being proved here` : "nothing here"}</p>}
    </div>
  );
}

function Model({ model }: { model: DeviceModel }) {
  const stage = model.update.stage ? ` (${model.update.stage})` : "";
  return (
    <Card title={model.model} wide>
      <div class="slots"><Slot name="a" entry={model.slots.a} model={model} /><Slot name="b" entry={model.slots.b} model={model} /></div>
      <Facts items={[
        ["Update", <><Status state={model.update.state} /> {stage}{model.update.release && ` ${model.update.release.version}`}</>],
        ["Assigned", model.assigned ? `${model.assigned.version}${model.assigned.arm !== "none" ? ` (${model.assigned.arm})` : ""}` : "–"],
        ["Last reason", model.last_reason ? <code>{model.last_reason}</code> : "–"],
        ["Counter floor", count(model.floor)],
      ]} />
      {model.rejected.length > 0 && (
        <>
          <h3>Rejected releases</h3>
          <p class="dim">This device proved them bad and will not take them again.</p>
          <Table caption="Rejected releases" rows={model.rejected} rowKey={(r) => r.manifest_sha256} columns={[
            { title: "Release", cell: (r) => r.version },
            { title: "Reason", cell: (r) => <code>{r.reason}</code> },
            { title: "When", cell: (r) => <When ms={r.at_ms} /> },
            { title: "Manifest", cell: (r) => <code title={r.manifest_sha256}>{shortened(r.manifest_sha256)}</code> },
          ]} />
        </>
      )}
    </Card>
  );
}

function TelemetryTable({ device }: { device: Device }) {
  const rows = device.telemetry ?? [];
  if (rows.length === 0) return <Empty>No telemetry has arrived yet.</Empty>;
  return (
    <Table caption="Telemetry by release" rows={rows} rowKey={(r) => `${r.model}@${r.version}`} columns={[
      { title: "Release", cell: (r) => `${r.model} ${r.version}` },
      { title: "Inferences", cell: (r) => count(r.count), numeric: true },
      { title: "Errors", cell: (r) => count(r.errors), numeric: true },
      { title: "p50", cell: (r) => microseconds(r.p50_us), numeric: true },
      { title: "p99", cell: (r) => microseconds(r.p99_us), numeric: true },
      { title: "Accuracy", cell: (r) => <>{percent(r.accuracy_ppm)} <span class="dim">of {count(r.labelled)}</span></>, numeric: true },
      { title: "Last window", cell: (r) => <When ms={r.last_window_ms} /> },
    ]} />
  );
}

function Identity({ device }: { device: Device }) {
  const profile = device.profile ?? {};
  return (
    <Facts items={[
      ["Hardware class", <span class="mono">{device.hardware_class || "–"}</span>],
      ["CPU", `${profile.cpu_model ?? "–"}, ${profile.cores ?? "?"} cores`],
      ["Memory", profile.memory_bytes ? bytes(profile.memory_bytes) : "–"],
      ["System", `${profile.os ?? "–"}, kernel ${profile.kernel ?? "–"}`],
      ["Runtime", profile.runtime ? `${profile.runtime.name} ${profile.runtime.version}` : "–"],
      ["Agent", device.agent_version || "–"],
      ["Labels", <Labels labels={device.labels} />],
      ["Enrolled", <When ms={device.enrolled_ms} />],
      ["Certificate", device.certificate ? <code title={device.certificate.fingerprint}>{shortened(device.certificate.fingerprint)}</code> : "–"],
    ]} />
  );
}

export function DeviceScreen({ id }: { id: string }) {
  const path = `/devices/${encodeURIComponent(id)}`;
  const device = useResource<Device>(path, [`device:${id}`, "devices"]);
  const timeline = useResource<List<TimelineItem>>(`${path}/timeline?limit=50`, [`device:${id}`, "devices"]);
  return (
    <div class="page">
      <h1 class="mono">{id}</h1>
      <Loaded resource={device}>
        {(d) => (
          <>
            <p class="lead"><Status state={d.state} /> seen <When ms={d.last_seen_ms} /></p>
            {d.models.length === 0 && <Empty>It has no model yet. A rollout that selects it will bring one.</Empty>}
            <div class="columns">
              {d.models.map((model) => <Model key={model.model} model={model} />)}
              <Card title="Timeline" wide>
                <Loaded resource={timeline}>{(t) => (t.items.length === 0 ? <Empty>Nothing yet.</Empty> : <Timeline items={t.items} />)}</Loaded>
              </Card>
              <Card title="Telemetry" wide><TelemetryTable device={d} /></Card>
              <Card title="Identity" wide><Identity device={d} /></Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
