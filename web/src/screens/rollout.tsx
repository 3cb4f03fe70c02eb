import type { ComponentChildren } from "preact";
import type { List, Rollout, RolloutDevice, VerdictRecord } from "../api/types";
import { Card, Facts } from "../components/card";
import { LiveGate } from "../components/live-gate";
import { Empty, Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { RolloutActions } from "../components/rollout-actions";
import { RolloutBar, rolloutName } from "../components/rollout-line";
import { Status, wordOf } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { absolute, count, plural, seconds } from "../state/format";
import { armsOf, type Arm } from "../state/gate";
import { reasons } from "../state/reasons";
import { deviceHref, releaseHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

// Of a gated rollout the first phase are the canaries; their controls come with the last one.
function armsIn({ gate, phases, from_version }: Rollout, phase: number): string {
  if (!gate || gate.pairs === 0) return "";
  if (phase === 0) return `, ${plural(gate.pairs, "canary", "canaries")}`;
  return phase === phases.length - 1 ? `, with the ${plural(gate.pairs, "control")}` : `, the controls keep ${from_version || "the old release"}`;
}

function Phases({ rollout }: { rollout: Rollout }) {
  return (
    <ol class="phases">
      {rollout.phases.map((phase, i) => (
        <li key={phase.percent} class={`phase phase-${phase.state}`} aria-current={i === rollout.phase ? "step" : undefined}>
          <p>
            <strong>Phase {i + 1}: {phase.percent} %</strong> <Status state={phase.state} />{" "}
            <span class="dim">
              {plural(phase.devices, "device")}{armsIn(rollout, i)}{phase.soak_s > 0 && `, soak ${seconds(phase.soak_s)}`}
              {phase.state === "soaking" && rollout.soak_until_ms > 0 && ` until ${absolute(rollout.soak_until_ms).slice(11)}`}
            </span>
          </p>
          <RolloutBar counts={phase.counts} what={`Devices up to phase ${i + 1}`} />
        </li>
      ))}
    </ol>
  );
}

function Failures({ rollout }: { rollout: Rollout }) {
  if (rollout.failures.length === 0) return <Empty>No device has failed.</Empty>;
  return (
    <ul class="plain-list">
      {rollout.failures.map((f) => (
        <li key={f.reason}>
          <Reason code={f.reason} /> <strong>{plural(f.count, "device")}</strong>
          {f.devices.map((d) => <a key={d} class="mono" href={deviceHref(d)}>{d}</a>)}
          {f.count > f.devices.length && <span class="dim">and {count(f.count - f.devices.length)} more</span>}
        </li>
      ))}
    </ul>
  );
}

// "gate.latency: evidence of harm 33 of 20 needed; …": the code, its words and the numbers.
function Why({ detail }: { detail: string }) {
  const code = detail.slice(0, detail.indexOf(": "));
  if (!code.startsWith("gate.") || !reasons.has(code)) return <>{detail}</>;
  return <><Reason code={code} />: {detail.slice(code.length + 2)}</>;
}

// A device that took the release counts as committed until it says that it is back.
function Recalled({ rollout: { devices, version, reason } }: { rollout: Rollout }) {
  const back = devices["rolled_back"] ?? 0;
  const all = back + (devices["committed"] ?? 0);
  return (
    <div class={`note ${back < all ? "note-warn" : "note-plain"}`} role="status">
      <p><strong>Ordered back: {count(back)} of {plural(all, "device")} {back === 1 ? "is" : "are"} back.</strong> {version} is quarantined. {reason && <Reason code={reason} />}</p>
    </div>
  );
}

function VerdictLog({ rollout }: { rollout: Rollout }) {
  if (rollout.log.length === 0) return <Empty>Nothing has been decided yet.</Empty>;
  return (
    <Table caption="Verdict log" rows={rollout.log} rowKey={(l) => `${l.at_ms}-${l.phase}-${l.decision}-${l.detail}`} columns={[
      { title: "When", cell: (l) => <When ms={l.at_ms} /> },
      { title: "Phase", cell: (l) => l.phase + 1, numeric: true },
      // "hold" is the ordinary state of a rollout that goes on: nothing to warn of.
      { title: "Verdict", cell: (l) => <Status state={l.verdict === "hold" ? "" : l.verdict} word={wordOf(l.verdict)} /> },
      { title: "Decision", cell: (l) => <strong>{l.decision}</strong> },
      { title: "Why", cell: (l) => <Why detail={l.detail} /> },
      { title: "By", cell: (l) => l.by || <span class="dim">the engine</span> },
    ]} />
  );
}

function Devices({ id, arms }: { id: string; arms: Map<string, Arm> }) {
  const devices = useResource<List<RolloutDevice>>(`${rolloutHref(id)}/devices?limit=200`, [`rollout:${id}`]);
  return (
    <Loaded resource={devices}>
      {(list) => list.items.length === 0 ? <Empty>It selects no device.</Empty> : (
        <>
          <Table caption="Devices of this rollout" rows={list.items} rowKey={(d) => d.device} columns={[
            { title: "Device", cell: (d) => <a class="mono" href={deviceHref(d.device)}>{d.device}</a> },
            { title: "State", cell: (d) => <Status state={d.state} /> },
            { title: "Phase", cell: (d) => d.phase + 1, numeric: true },
            ...(arms.size > 0 ? [{ title: "Arm", cell: (d: RolloutDevice) => arms.get(d.device) ?? <span class="dim">–</span> }] : []),
            { title: "Reason", cell: (d) => (d.reason ? <Reason code={d.reason} /> : <span class="dim">–</span>) },
            { title: "Since", cell: (d) => (d.since_ms > 0 ? <When ms={d.since_ms} /> : <span class="dim">–</span>) },
          ]} />
          {list.next_cursor && <p class="dim">The first 200 are shown.</p>}
        </>
      )}
    </Loaded>
  );
}

// A rollout with a gate waits for the gate's verdict too: shown one after the other the page would jump.
function Gated({ rollout }: { rollout: Rollout }) {
  const topics = [`rollout:${rollout.id}`, ...(rollout.state === "running" ? [`gate:${rollout.id}`] : [])];
  const verdict = useResource<VerdictRecord>(`${rolloutHref(rollout.id)}/verdict`, topics);
  if (verdict.value === undefined && !verdict.problem) return <p class="loading" role="status">Loading…</p>;
  return <Cards rollout={rollout} gate={<LiveGate rollout={rollout} verdict={verdict} />} arms={armsOf(verdict.value)} />;
}

function Cards({ rollout: r, gate, arms }: { rollout: Rollout; gate?: ComponentChildren; arms: Map<string, Arm> }) {
  return (
    <div class="columns">
      <Card title="Progress" wide><RolloutBar counts={r.devices} what="Devices" /></Card>
      {gate}
      <Card title="Phases"><Phases rollout={r} /></Card>
      <div class="stack">
        <Card title="Failures by reason"><Failures rollout={r} /></Card>
        <Card title="Plan">
          <Facts items={[
            ["Release", <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a>],
            ["Replaces", r.from_version ? <a href={releaseHref(r.model, r.from_version)}>{r.model} {r.from_version}</a> : "nothing"],
            ["Selector", <span class="mono">{r.selector}</span>],
            ["Failures allowed", count(r.policy.failures_max)],
            ["Time per device", seconds(r.policy.device_timeout_s)],
            ["Id", <span class="mono">{r.id}</span>],
          ]} />
        </Card>
      </div>
      <Card title="Verdict log" wide><VerdictLog rollout={r} /></Card>
      <Card title="Devices" wide><Devices id={r.id} arms={arms} /></Card>
    </div>
  );
}

const noArms = new Map<string, Arm>();

export function RolloutScreen({ id }: { id: string }) {
  const rollout = useResource<Rollout>(rolloutHref(id), [`rollout:${id}`]);
  const known = rollout.value;
  useTitle(known ? rolloutName(known) : id);
  return (
    <div class="page">
      <p class="crumb"><a href="/rollouts">Rollouts</a></p>
      <div class="title">
        <h1>{known ? rolloutName(known) : id}</h1>
        {known && (
          <>
            <Status state={known.state} /> {known.reason && <Reason code={known.reason} />}
            <span class="dim">started <When ms={known.created_ms} /> by {known.created_by}{known.ended_ms > 0 && <>, ended <When ms={known.ended_ms} /></>}</span>
          </>
        )}
      </div>
      <Loaded resource={rollout}>
        {(r) => (
          <>
            <RolloutActions rollout={r} reload={rollout.reload} />
            {r.recalled && <Recalled rollout={r} />}
            {r.gate ? <Gated rollout={r} /> : <Cards rollout={r} arms={noArms} />}
          </>
        )}
      </Loaded>
    </div>
  );
}
