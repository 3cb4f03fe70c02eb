import type { List, RolloutSummary } from "../api/types";
import { Card } from "../components/card";
import { Command } from "../components/copy";
import { valueOf } from "../components/field";
import { Empty, Loaded } from "../components/notes";
import { Pager } from "../components/pager";
import { Reason } from "../components/reason";
import { rolloutName } from "../components/rollout-line";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count } from "../state/format";
import { pageItems, pageKeys, pagesOf } from "../state/pages";
import { location, newRolloutHref, releaseHref, rolloutHref, setQuery, useTitle } from "../state/router";
import { useResource } from "../state/resource";
import { wordOf } from "../state/words";

const states = ["awaiting_approval", "scheduled", "running", "paused", "done", "failed", "aborted", "denied"];

function RolloutTable({ items }: { items: RolloutSummary[] }) {
  return (
    <Table caption="Rollouts" rows={items} rowKey={(r) => r.id} columns={[
      { title: "Rollout", cell: (r) => <><a href={rolloutHref(r.id)}>{rolloutName(r)}</a> <span class="dim mono">{r.id}</span></> },
      { title: "Release", cell: (r) => <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a> },
      { title: "State", cell: (r) => <><Status state={r.state} /> {r.reason && <Reason code={r.reason} />}</> },
      { title: "Committed", cell: (r) => <>{count(r.devices["committed"] ?? 0)} <span class="dim">/ {count(r.devices["selected"] ?? 0)}</span></>, numeric: true },
      { title: "Selector", cell: (r) => <span class="mono">{r.selector}</span> },
      { title: "Created", cell: (r) => <><When ms={r.created_ms} /> <span class="dim">by {r.created_by}</span></> },
    ]} />
  );
}

export function RolloutsScreen() {
  useTitle("Rollouts");
  const query = location.value.query;
  const state = query.get("state") ?? "";
  const pages = pagesOf(query);
  const rollouts = useResource<List<RolloutSummary>>(`/rollouts?limit=${pageItems}${pages.query}${state ? `&state=${encodeURIComponent(state)}` : ""}`, ["rollouts"]);
  return (
    <div class="page">
      <div class="title"><h1>Rollouts</h1><span class="spring" /><a class="button primary" href={newRolloutHref()}>Create rollout</a></div>
      <form class="filters" aria-label="Rollouts" onSubmit={(event) => event.preventDefault()}>
        <label for="state">State</label>
        <select id="state" value={state} onChange={(event) => setQuery("state", valueOf(event), pageKeys())}>
          <option value="">any</option>
          {(state === "" || states.includes(state) ? states : [...states, state]).map((one) => <option key={one} value={one}>{wordOf(one)}</option>)}
        </select>
      </form>
      <Loaded resource={rollouts}>
        {(list) => (
          <>
            {list.items.length > 0 ? <RolloutTable items={list.items} />
              : state || pages.number > 1 ? <Empty>No rollout fits this filter.</Empty>
                : <Card title="No rollout yet"><p>A rollout brings a release to devices, phase by phase, and stops by itself when it does harm.</p><Command line="ferry rollout create MODEL@VERSION" /></Card>}
            <Pager pages={pages} next={list.next_cursor} items={list.items.length} what="rollouts" />
          </>
        )}
      </Loaded>
    </div>
  );
}
