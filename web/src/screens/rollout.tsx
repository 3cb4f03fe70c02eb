import { api, ApiError } from "../api/client";
import type { List, Rollout, RolloutDevice } from "../api/types";
import { Card, Facts } from "../components/card";
import { ConfirmButton } from "../components/confirm";
import { Empty, Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { RolloutBar, rolloutName } from "../components/rollout-line";
import { Status, wordOf } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { absolute, count, plural, seconds } from "../state/format";
import { deviceHref, releaseHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";
import { may } from "../state/session";

const onTheirWay = ["offered", "downloading", "staged", "trial"];

// What an action means for whom, before it is done.
function Outcome({ rollout, waiting }: { rollout: Rollout; waiting: string }) {
  const busy = onTheirWay.reduce((sum, state) => sum + (rollout.devices[state] ?? 0), 0);
  return (
    <ul class="outcome">
      <li><strong>{count(rollout.devices["waiting"] ?? 0)} waiting:</strong> {waiting}</li>
      <li><strong>{count(busy)} on their way:</strong> finish what they began</li>
      <li><strong>{count(rollout.devices["committed"] ?? 0)} committed:</strong> keep {rollout.version}</li>
    </ul>
  );
}

function Actions({ rollout, reload }: { rollout: Rollout; reload: () => void }) {
  const act = (action: string) => async (reason: string) => {
    try {
      await api.post(`${rolloutHref(rollout.id)}:${action}`, reason ? { reason } : {}, { "If-Match": `"${rollout.revision}"` });
    } catch (error) {
      // Somebody else was faster. Show what is there now; the question may have another answer.
      if (error instanceof ApiError && (error.problem.status === 412 || error.problem.status === 409)) reload();
      throw error;
    }
    reload();
  };
  if (rollout.state !== "running" && rollout.state !== "paused") return null;
  const rights = may("operator") ? {} : { unavailable: "This needs the role operator" };
  const common = { asksReason: true, ...rights };
  return (
    <div class="actions">
      {rollout.state === "running" && (
        <ConfirmButton key="pause" label="Pause" question="Pause this rollout?" act={act("pause")} {...common}>
          <Outcome rollout={rollout} waiting="stay on the old release until you resume" />
        </ConfirmButton>
      )}
      {rollout.state === "paused" && (
        <ConfirmButton key="resume" label="Resume" question="Resume this rollout?" act={act("resume")} {...common}>
          <Outcome rollout={rollout} waiting={`will be offered ${rollout.version}, phase by phase`} />
        </ConfirmButton>
      )}
      {rollout.state === "running" && (
        <ConfirmButton key="promote" label="Promote now" question="Go to the next phase now?" act={act("promote")} {...common}>
          <p>The rest of the present phase's soak time is skipped. Failures already counted stay counted.</p>
        </ConfirmButton>
      )}
      <ConfirmButton key="abort" label="Abort" danger question="Abort this rollout?" act={act("abort")} {...common}>
        <Outcome rollout={rollout} waiting="stay on the old release for good" />
        <p>This cannot be undone: a new rollout is needed.</p>
      </ConfirmButton>
      {!may("operator") && <span class="dim">These need the role operator.</span>}
    </div>
  );
}

function Phases({ rollout }: { rollout: Rollout }) {
  return (
    <ol class="phases">
      {rollout.phases.map((phase, i) => (
        <li key={phase.percent} class={`phase phase-${phase.state}`} aria-current={i === rollout.phase ? "step" : undefined}>
          <p>
            <strong>Phase {i + 1}: {phase.percent} %</strong> <Status state={phase.state} />{" "}
            <span class="dim">
              {plural(phase.devices, "device")}{phase.soak_s > 0 && `, soak ${seconds(phase.soak_s)}`}
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

function VerdictLog({ rollout }: { rollout: Rollout }) {
  if (rollout.log.length === 0) return <Empty>Nothing has been decided yet.</Empty>;
  return (
    <Table caption="Verdict log" rows={rollout.log} rowKey={(l) => `${l.at_ms}-${l.phase}-${l.decision}-${l.detail}`} columns={[
      { title: "When", cell: (l) => <When ms={l.at_ms} /> },
      { title: "Phase", cell: (l) => l.phase + 1, numeric: true },
      // "hold" is the ordinary state of a rollout that goes on: nothing to warn of.
      { title: "Verdict", cell: (l) => <Status state={l.verdict === "hold" ? "" : l.verdict} word={wordOf(l.verdict)} /> },
      { title: "Decision", cell: (l) => <strong>{l.decision}</strong> },
      { title: "Why", cell: (l) => l.detail },
      { title: "By", cell: (l) => l.by || <span class="dim">the engine</span> },
    ]} />
  );
}

function Devices({ id }: { id: string }) {
  const devices = useResource<List<RolloutDevice>>(`${rolloutHref(id)}/devices?limit=200`, [`rollout:${id}`]);
  return (
    <Loaded resource={devices}>
      {(list) => list.items.length === 0 ? <Empty>It selects no device.</Empty> : (
        <>
          <Table caption="Devices of this rollout" rows={list.items} rowKey={(d) => d.device} columns={[
            { title: "Device", cell: (d) => <a class="mono" href={deviceHref(d.device)}>{d.device}</a> },
            { title: "State", cell: (d) => <Status state={d.state} /> },
            { title: "Phase", cell: (d) => d.phase + 1, numeric: true },
            { title: "Reason", cell: (d) => (d.reason ? <Reason code={d.reason} /> : <span class="dim">–</span>) },
            { title: "Since", cell: (d) => (d.since_ms > 0 ? <When ms={d.since_ms} /> : <span class="dim">–</span>) },
          ]} />
          {list.next_cursor && <p class="dim">The first 200 are shown.</p>}
        </>
      )}
    </Loaded>
  );
}

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
            <Actions rollout={r} reload={rollout.reload} />
            <div class="columns">
              <Card title="Progress" wide><RolloutBar counts={r.devices} what="Devices" /></Card>
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
              <Card title="Devices" wide><Devices id={id} /></Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
