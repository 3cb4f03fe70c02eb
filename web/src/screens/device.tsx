import type { ComponentChildren } from "preact";
import { api } from "../api/client";
import type { Device, DeviceModel, List, SlotEntry, TimelineItem } from "../api/types";
import { Lane } from "../charts/lane";
import { Card, Facts } from "../components/card";
import { ConfirmButton } from "../components/confirm";
import { Digest } from "../components/copy";
import { LabelEditor, Labels } from "../components/labels";
import { Empty, Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { Status } from "../components/status";
import { measuredColumns } from "../components/measured-columns";
import { Table } from "../components/table";
import { Timeline } from "../components/timeline";
import { When } from "../components/when";
import { absolute, bytes, count } from "../state/format";
import { deviceHref, releaseHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";
import { wordOf } from "../state/words";
import { may } from "../state/session";

type DeviceRollout = NonNullable<Device["rollouts"]>[number];
const isArm = (arm: string | undefined) => arm === "canary" || arm === "control";
const isRecall = (reason: string) => reason.startsWith("gate.") || reason === "operator.rollback";

// The device's words begin with the variant, which stands before them here.
const withoutName = ({ variant, variant_reason = "" }: SlotEntry) => (variant_reason.startsWith(`${variant}: `) ? variant_reason.slice(variant.length + 2) : variant_reason);

function Slot({ name, model }: { name: "a" | "b"; model: DeviceModel }) {
  const entry: SlotEntry | null = model.slots[name] ?? null;
  const active = model.active?.slot === name;
  const candidate = !active && model.update.slot === name && model.update.state !== "idle";
  const role = active ? "active" : candidate ? "candidate" : entry ? "standby" : "empty";
  const version = candidate ? model.update.release?.version : entry?.version;
  return (
    <div class={`slot slot-${role}`}>
      <p class="slot-head">
        <span class="slot-name">Slot {name.toUpperCase()}</span>
        <Status state={role} word={candidate ? `candidate, ${wordOf(model.update.stage || model.update.state)}` : role} />
      </p>
      {version ? <p class="slot-release"><a href={releaseHref(model.model, version)}>{model.model} {version}</a></p> : <p class="slot-release dim">Nothing here</p>}
      {candidate ? <p class="dim">It is being proved while {model.active ? `${model.active.version} goes on answering` : "nothing else runs"}.</p> : entry && (
        <>
          <p><strong>{entry.variant}</strong> <span class="dim">{withoutName(entry)}</span></p>
          <p class="dim">counter {count(entry.counter)}, manifest <Digest value={entry.manifest_sha256} what="manifest digest" />{isArm(entry.arm) && <>, taken as {entry.arm}{entry.rollout && <> of <a class="mono" href={rolloutHref(entry.rollout)}>{entry.rollout}</a></>}</>}</p>
        </>
      )}
    </div>
  );
}

// The newest thing that a rollout did here, when that was to order its release back.
function CalledBack({ rollouts }: { rollouts: DeviceRollout[] }) {
  const last = rollouts.find((one) => one.state !== "waiting");
  if (last?.state !== "rolled_back" || !isRecall(last.reason)) return null;
  return (
    <div class="note note-warn">
      <p><strong>{last.version} was ordered back</strong> by <a href={rolloutHref(last.id)}>rollout <span class="mono">{last.id}</span></a>: <Reason code={last.reason} /></p>
    </div>
  );
}

function Model({ model, rollouts }: { model: DeviceModel; rollouts: DeviceRollout[] }) {
  const { update, assigned } = model;
  return (
    <Card title={model.model} wide>
      <CalledBack rollouts={rollouts} />
      <div class="slots"><Slot name="a" model={model} /><Slot name="b" model={model} /></div>
      <Facts items={[
        ["Update", <><Status state={update.state} />{update.stage && ` ${update.stage}`}{update.release && ` ${update.release.version}`}</>],
        ["Assigned", assigned ? assigned.version : "–"],
        ...(assigned && isArm(assigned.arm) ? [["Arm", <>{assigned.arm} of {assigned.rollout ? <a class="mono" href={rolloutHref(assigned.rollout)}>{assigned.rollout}</a> : "a rollout"}</>] satisfies [string, ComponentChildren]] : []),
        ["Last reason", model.last_reason ? <Reason code={model.last_reason} /> : "–"],
        ["Lowest counter it takes", count(model.floor)],
      ]} />
      {model.rejected.length > 0 && (
        <>
          <h3>Rejected releases <span class="dim">proved bad here or ordered back, and not taken again</span></h3>
          <Table caption={`Releases of ${model.model} rejected by this device`} rows={model.rejected} rowKey={(r) => r.manifest_sha256} columns={[
            { title: "Release", cell: (r) => <a href={releaseHref(model.model, r.version)}>{r.version}</a> },
            { title: "Reason", cell: (r) => <Reason code={r.reason} /> },
            { title: "When", cell: (r) => <When ms={r.at_ms} /> },
            { title: "Manifest", cell: (r) => <Digest value={r.manifest_sha256} what="manifest digest" /> },
          ]} />
        </>
      )}
    </Card>
  );
}

function Rollouts({ rollouts }: { rollouts: DeviceRollout[] }) {
  if (rollouts.length === 0) return <Empty>No rollout has offered it anything.</Empty>;
  return (
    <Table caption="Rollouts of this device" rows={rollouts} rowKey={(r) => r.id} columns={[
      { title: "Rollout", cell: (r) => <a class="mono" href={rolloutHref(r.id)}>{r.id}</a> },
      { title: "Release", cell: (r) => <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a> },
      { title: "State here", cell: (r) => <Status state={r.state} /> },
      { title: "Reason", cell: (r) => (r.reason ? <Reason code={r.reason} /> : <span class="dim">–</span>) },
    ]} />
  );
}

function TelemetryTable({ device }: { device: Device }) {
  const rows = device.telemetry ?? [];
  if (rows.length === 0) return <Empty>No telemetry has arrived yet.</Empty>;
  return (
    <Table caption="Telemetry of this device by release" rows={rows} rowKey={(r) => `${r.model}@${r.version}`} columns={[
      { title: "Release", cell: (r) => <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a> },
      ...measuredColumns,
      { title: "Labelled", cell: (r) => count(r.labelled), numeric: true },
      { title: "Last report", cell: (r) => <When ms={r.last_window_ms} /> },
    ]} />
  );
}

function Identity({ device }: { device: Device }) {
  const profile = device.profile ?? {};
  return (
    <Facts items={[
      ["Hardware class", <span class="mono">{device.hardware_class || "–"}</span>],
      ["CPU", profile.cpu_model ? `${profile.cpu_model}, ${profile.cores ?? "?"} cores` : "–"],
      ["Memory", profile.memory_bytes ? bytes(profile.memory_bytes) : "–"],
      ["System", profile.os ? `${profile.os}, kernel ${profile.kernel ?? "–"}` : "–"],
      ["Runtime", profile.runtime ? `${profile.runtime.name} ${profile.runtime.version}` : "–"],
      ["Agent", device.agent_version || "–"],
      ["Enrolled", <When ms={device.enrolled_ms} />],
      ["Certificate", device.certificate ? <><Digest value={device.certificate.fingerprint} what="certificate fingerprint" /> <span class="dim">until {absolute(device.certificate.not_after_ms).slice(0, 10)}</span></> : "–"],
    ]} />
  );
}

function Revoke({ id, reload }: { id: string; reload: () => void }) {
  const act = async () => {
    await api.post(`${deviceHref(id)}:revoke`, {});
    reload();
  };
  return (
    <ConfirmButton label="Revoke" danger question="Revoke this device?" act={act} {...(may("admin") ? {} : { unavailable: "This needs the role admin" })}>
      <p>Its certificate is refused from now on: no check-in, no update, no telemetry. The release that it runs goes on answering there. It has to be enrolled anew to come back.</p>
    </ConfirmButton>
  );
}

export function DeviceScreen({ id }: { id: string }) {
  useTitle(id);
  const path = deviceHref(id);
  const device = useResource<Device>(path, [`device:${id}`], 10_000);
  const timeline = useResource<List<TimelineItem>>(`${path}/timeline?limit=100`, [`device:${id}`]);
  const known = device.value;
  // Both are there in a moment; the timeline must not push what is below it away.
  const settled = timeline.value !== undefined || timeline.problem !== undefined;
  return (
    <div class="page">
      <p class="crumb"><a href="/devices">Devices</a></p>
      <div class="title">
        <h1 class="mono">{id}</h1>
        {known && (
          <>
            <Status state={known.state} /> <span class="dim">seen <When ms={known.last_seen_ms} /></span> {Object.keys(known.labels).length > 0 && <Labels labels={known.labels} />}
            <span class="spring" />
            {known.state !== "revoked" && <Revoke id={id} reload={device.reload} />}
          </>
        )}
      </div>
      <Loaded resource={settled ? device : { ...device, value: undefined }}>
        {(d) => (
          <>
            {d.models.length === 0 && <Card title="Models"><Empty>It has no model yet. A rollout that selects it will bring one.</Empty></Card>}
            <div class="columns">
              {d.models.map((model) => <Model key={model.model} model={model} rollouts={(d.rollouts ?? []).filter((one) => one.model === model.model)} />)}
              <Card title="Timeline" wide>
                <Loaded resource={timeline}>
                  {(t) => t.items.length === 0 ? <Empty>Nothing yet.</Empty> : (
                    <>
                      {d.models.map((model) => <Lane key={model.model} items={t.items} model={model.model} now={Math.max(d.last_seen_ms, t.items[0]!.at_ms)} />)}
                      <Timeline items={t.items} withSteps />
                      {t.next_cursor && <p class="dim">Older events: <code>ferry device timeline {id}</code></p>}
                    </>
                  )}
                </Loaded>
              </Card>
              <Card title="Rollouts" wide><Rollouts rollouts={d.rollouts ?? []} /></Card>
              <Card title="Telemetry" wide><TelemetryTable device={d} /></Card>
              <Card title="Identity"><Identity device={d} /></Card>
              {may("operator") && <Card title="Labels"><p class="dim">Rollouts select devices by them.</p><LabelEditor device={id} labels={d.labels} changed={device.reload} /></Card>}
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
