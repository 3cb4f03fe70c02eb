import type { List, ReleaseSummary } from "../api/types";
import { Empty, Loaded } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count, shortened } from "../state/format";
import { useResource } from "../state/resource";

export function ReleasesScreen() {
  const releases = useResource<List<ReleaseSummary>>("/releases?limit=200", ["releases", "rollouts"]);
  return (
    <div class="page">
      <h1>Releases</h1>
      <Loaded resource={releases}>
        {(list) => list.items.length === 0 ? <Empty>Nothing is published yet: <code>ferry release publish</code> from CI.</Empty> : (
          <Table caption="Releases" rows={list.items} rowKey={(r) => r.manifest_sha256} columns={[
            { title: "Release", cell: (r) => <a href={`/releases/${encodeURIComponent(r.model)}/${encodeURIComponent(r.version)}`}>{r.model} {r.version}</a> },
            { title: "State", cell: (r) => <Status state={r.state} /> },
            { title: "CI gate", cell: (r) => <Status state={r.gate_result ?? ""} /> },
            { title: "Variants", cell: (r) => (r.variant_names ?? []).join(", ") },
            { title: "Devices", cell: (r) => `${count(r.devices.running)} / ${count(r.devices.total)}`, numeric: true },
            { title: "Published", cell: (r) => <><When ms={r.published_ms} /> <span class="dim">by {r.published_by}</span></> },
            { title: "Manifest", cell: (r) => <code title={r.manifest_sha256}>{shortened(r.manifest_sha256)}</code> },
          ]} />
        )}
      </Loaded>
    </div>
  );
}
