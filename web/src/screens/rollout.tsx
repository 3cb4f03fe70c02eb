import { api } from "../api/client";
import type { Rollout } from "../api/types";
import { Card, Facts } from "../components/card";
import { ConfirmButton } from "../components/confirm";
import { Empty, Loaded } from "../components/notes";
import { RolloutBar } from "../components/rollout-line";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count } from "../state/format";
import { useResource } from "../state/resource";

function Actions({ rollout, reload }: { rollout: Rollout; reload: () => void }) {
  const act = (action: string) => async () => {
    await api.post(`/rollouts/${encodeURIComponent(rollout.id)}:${action}`, {}, { "If-Match": `"${rollout.revision}"` });
    reload();
  };
  const waiting = count(rollout.devices["waiting"] ?? 0);
  const committed = count(rollout.devices["committed"] ?? 0);
  if (rollout.state !== "running" && rollout.state !== "paused") return null;
  return (
    <div class="actions">
      {rollout.state === "running" && (
        <ConfirmButton label="Pause" question="Pause this rollout?" act={act("pause")}>
          <p>{waiting} waiting devices stay on the old release until you resume. Devices on their way finish; {committed} committed devices keep the new one.</p>
        </ConfirmButton>
      )}
      {rollout.state === "paused" && (
        <ConfirmButton label="Resume" question="Resume this rollout?" act={act("resume")}><p>{waiting} waiting devices will be offered {rollout.version} phase by phase.</p></ConfirmButton>
      )}
      {rollout.state === "running" && (
        <ConfirmButton label="Promote now" question="Go to the next phase now?" act={act("promote")}><p>The rest of the present phase's soak time is skipped. Failures already counted stay counted.</p></ConfirmButton>
      )}
      <ConfirmButton label="Abort" danger question="Abort this rollout?" act={act("abort")}>
        <p>{waiting} waiting devices stay on the old release for good. Devices on their way finish their trial; {committed} committed devices keep {rollout.version}. This cannot be undone: a new rollout is needed.</p>
      </ConfirmButton>
    </div>
  );
}

function Phases({ rollout }: { rollout: Rollout }) {
  return (
    <ol class="phases">
      {rollout.phases.map((phase, i) => (
        <li key={phase.percent} class={i === rollout.phase ? "phase phase-here" : "phase"}>
          <p><strong>Phase {i + 1}: {phase.percent} %</strong> <Status state={phase.state} /> <span class="dim">{count(phase.devices)} devices{phase.soak_s > 0 && `, soak ${phase.soak_s} s`}</span></p>
          <RolloutBar counts={phase.counts} what={`Phase ${i + 1}`} />
        </li>
      ))}
    </ol>
  );
}

export function RolloutScreen({ id }: { id: string }) {
  const rollout = useResource<Rollout>(`/rollouts/${encodeURIComponent(id)}`, [`rollout:${id}`, "rollouts"]);
  return (
    <div class="page">
      <Loaded resource={rollout}>
        {(r) => (
          <>
            <h1>{r.name || `${r.model} ${r.from_version ? `${r.from_version} → ` : ""}${r.version}`}</h1>
            <p class="lead"><Status state={r.state} /> {r.reason && <code>{r.reason}</code>} started <When ms={r.created_ms} /> by {r.created_by}</p>
            <Actions rollout={r} reload={rollout.reload} />
            <div class="columns">
              <Card title="Devices" wide><RolloutBar counts={r.devices} what="Devices" /></Card>
              <Card title="Phases"><Phases rollout={r} /></Card>
              <Card title="Failures by reason">
                {r.failures.length === 0 ? <Empty>No device has failed.</Empty> : (
                  <ul class="plain-list">
                    {r.failures.map((f) => (
                      <li key={f.reason}><code>{f.reason}</code> <strong>{f.count}</strong> {f.devices.map((d) => <a key={d} href={`/devices/${encodeURIComponent(d)}`}>{d}</a>)}</li>
                    ))}
                  </ul>
                )}
              </Card>
              <Card title="Verdict log" wide>
                <Table caption="Verdict log" rows={r.log} rowKey={(l) => `${l.at_ms}-${l.decision}-${l.detail}`} columns={[
                  { title: "When", cell: (l) => <When ms={l.at_ms} /> },
                  { title: "Phase", cell: (l) => l.phase + 1, numeric: true },
                  { title: "Verdict", cell: (l) => <Status state={l.verdict} /> },
                  { title: "Decision", cell: (l) => l.decision },
                  { title: "Why", cell: (l) => l.detail },
                  { title: "By", cell: (l) => l.by || "the engine" },
                ]} />
              </Card>
              <Card title="Policy" wide>
                <Facts items={[
                  ["Release", <a href={`/releases/${encodeURIComponent(r.model)}/${encodeURIComponent(r.version)}`}>{r.model} {r.version}</a>],
                  ["Selector", <span class="mono">{r.selector}</span>],
                  ["Failures allowed", count(r.policy.failures_max)],
                  ["Time per device", `${count(r.policy.device_timeout_s)} s`],
                  ["Id", <code>{r.id}</code>],
                ]} />
              </Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
