import type { List, RolloutSummary } from "../api/types";
import { Card } from "../components/card";
import { Command } from "../components/copy";
import { Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { rolloutName } from "../components/rollout-line";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count } from "../state/format";
import { releaseHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

export function RolloutsScreen() {
  useTitle("Rollouts");
  const rollouts = useResource<List<RolloutSummary>>("/rollouts?limit=200", ["rollouts"]);
  return (
    <div class="page">
      <h1>Rollouts</h1>
      <Loaded resource={rollouts}>
        {(list) => list.items.length === 0 ? (
          <Card title="No rollout yet"><p>A rollout brings a release to devices, phase by phase, and stops by itself when it does harm.</p><Command line="ferry rollout create MODEL@VERSION" /></Card>
        ) : (
          <>
            <Table caption="Rollouts" rows={list.items} rowKey={(r) => r.id} columns={[
              { title: "Rollout", cell: (r) => <><a href={rolloutHref(r.id)}>{rolloutName(r)}</a> <span class="dim mono">{r.id}</span></> },
              { title: "Release", cell: (r) => <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a> },
              { title: "State", cell: (r) => <><Status state={r.state} /> {r.reason && <Reason code={r.reason} />}</> },
              { title: "Committed", cell: (r) => <>{count(r.devices["committed"] ?? 0)} <span class="dim">/ {count(r.devices["selected"] ?? 0)}</span></>, numeric: true },
              { title: "Selector", cell: (r) => <span class="mono">{r.selector}</span> },
              { title: "Created", cell: (r) => <><When ms={r.created_ms} /> <span class="dim">by {r.created_by}</span></> },
            ]} />
            {list.next_cursor && <p class="dim">The newest 200 are shown. All: <code>ferry rollout list</code></p>}
          </>
        )}
      </Loaded>
    </div>
  );
}
