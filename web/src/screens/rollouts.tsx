import type { List, RolloutSummary } from "../api/types";
import { Empty, Loaded } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count } from "../state/format";
import { useResource } from "../state/resource";

export function RolloutsScreen() {
  const rollouts = useResource<List<RolloutSummary>>("/rollouts?limit=200", ["rollouts"]);
  return (
    <div class="page">
      <h1>Rollouts</h1>
      <Loaded resource={rollouts}>
        {(list) => list.items.length === 0 ? <Empty>None yet: <code>ferry rollout create model@version</code>.</Empty> : (
          <Table caption="Rollouts" rows={list.items} rowKey={(r) => r.id} columns={[
            { title: "Rollout", cell: (r) => <a href={`/rollouts/${encodeURIComponent(r.id)}`}>{r.name || r.id}</a> },
            { title: "Release", cell: (r) => <a href={`/releases/${encodeURIComponent(r.model)}/${encodeURIComponent(r.version)}`}>{r.model} {r.version}</a> },
            { title: "State", cell: (r) => <><Status state={r.state} /> {r.reason && <code>{r.reason}</code>}</> },
            { title: "Devices", cell: (r) => `${count(r.devices["committed"] ?? 0)} / ${count(r.devices["selected"] ?? 0)}`, numeric: true },
            { title: "Who", cell: (r) => <span class="mono">{r.selector}</span> },
            { title: "Created", cell: (r) => <><When ms={r.created_ms} /> <span class="dim">by {r.created_by}</span></> },
          ]} />
        )}
      </Loaded>
    </div>
  );
}
