import type { List, ReleaseSummary } from "../api/types";
import { Card } from "../components/card";
import { Command, Digest } from "../components/copy";
import { Loaded } from "../components/notes";
import { Pager } from "../components/pager";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { count } from "../state/format";
import { pageItems, pagesOf } from "../state/pages";
import { location, releaseHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

export function ReleasesScreen() {
  useTitle("Releases");
  const pages = pagesOf(location.value.query);
  const releases = useResource<List<ReleaseSummary>>(`/releases?limit=${pageItems}${pages.query}`, ["releases", "rollouts", "devices"]);
  return (
    <div class="page">
      <h1>Releases</h1>
      <Loaded resource={releases}>
        {(list) => list.items.length === 0 && pages.number === 1 ? (
          <Card title="Nothing is published yet"><p>A release comes from CI, signed, with the report of the gate that let it out.</p><Command line="ferry release publish out/ --key release-MODEL.pem" /></Card>
        ) : (
          <>
            <Table caption="Releases" rows={list.items} rowKey={(r) => r.manifest_sha256} columns={[
              { title: "Release", cell: (r) => <a href={releaseHref(r.model, r.version)}>{r.model} {r.version}</a> },
              { title: "State", cell: (r) => <Status state={r.state} /> },
              { title: "CI gate", cell: (r) => <Status state={r.gate_result ?? ""} /> },
              { title: "Variants", cell: (r) => (r.variant_names ?? []).join(", ") },
              { title: "Devices on it", cell: (r) => <>{count(r.devices.running)} <span class="dim">/ {count(r.devices.total)}</span></>, numeric: true },
              { title: "Published", cell: (r) => <><When ms={r.published_ms} /> <span class="dim">by {r.published_by}</span></> },
              { title: "Manifest", cell: (r) => <Digest value={r.manifest_sha256} what="manifest digest" /> },
            ]} />
            <Pager pages={pages} next={list.next_cursor} items={list.items.length} what="releases" />
          </>
        )}
      </Loaded>
    </div>
  );
}
