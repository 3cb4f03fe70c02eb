import { useState } from "preact/hooks";
import { api, ApiError } from "../api/client";
import type { Device, List, Problem } from "../api/types";
import { Card } from "../components/card";
import { Empty, Loaded, ProblemNote } from "../components/notes";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { location, setQuery } from "../state/router";
import { useResource } from "../state/resource";

const states = ["", "ok", "updating", "attention", "offline", "new", "revoked"];

export function Labels({ labels }: { labels: Record<string, string> }) {
  const pairs = Object.entries(labels);
  return pairs.length === 0 ? <span class="dim">–</span> : <>{pairs.map(([key, value]) => <span key={key} class="label">{key}={value}</span>)}</>;
}

// Makes an enrolment token and shows the one line a device needs. The token is shown once.
function Enrol() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const create = async () => {
    setProblem(undefined);
    try {
      setToken((await api.post<{ token: string }>("/tokens", { uses: 1, ttl_s: 3600 })).token);
    } catch (error) {
      setProblem(error instanceof ApiError ? error.problem : { status: 0, code: "bug", title: "Error", detail: String(error) });
    }
  };
  return (
    <Card title="Enrol a device" wide>
      {problem && <ProblemNote problem={problem} />}
      {token ? (
        <>
          <p>Run this on the device. The token works once, for one hour, and is not shown again.</p>
          <pre class="command"><code>ferry-agent enroll --token {token}</code></pre>
          <p class="dim" role="status">Waiting for the device…</p>
        </>
      ) : (
        <button type="button" class="primary" onClick={() => void create()}>Create an enrolment token</button>
      )}
    </Card>
  );
}

function runs(device: Device) {
  return device.models.map((m) => (
    <div key={m.model}>
      {m.active ? <a href={`/releases/${encodeURIComponent(m.model)}/${encodeURIComponent(m.active.version)}`}>{m.model} {m.active.version}</a> : <span class="dim">{m.model}: none</span>}
      {m.assigned && m.assigned.version !== m.active?.version && <span class="dim"> → {m.assigned.version}</span>}
    </div>
  ));
}

export function DevicesScreen() {
  const query = location.value.query;
  const [q, state] = [query.get("q") ?? "", query.get("state") ?? ""];
  const path = `/devices?limit=200${q ? `&q=${encodeURIComponent(q)}` : ""}${state ? `&state=${encodeURIComponent(state)}` : ""}`;
  const devices = useResource<List<Device>>(path, ["devices"]);
  const filtered = q !== "" || state !== "";
  return (
    <div class="page">
      <h1>Devices</h1>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label for="q">Search</label>
        <input id="q" type="search" value={q} placeholder="id, hardware, label" onInput={(event) => setQuery("q", (event.target as HTMLInputElement).value)} />
        <label for="state">State</label>
        <select id="state" value={state} onChange={(event) => setQuery("state", (event.target as HTMLSelectElement).value)}>
          {states.map((s) => <option key={s} value={s}>{s || "any"}</option>)}
        </select>
      </form>
      <Loaded resource={devices}>
        {(list) => list.items.length === 0 && !filtered ? <Enrol /> : list.items.length === 0 ? <Empty>No device fits this filter.</Empty> : (
          <>
            <Table caption="Devices" rows={list.items} rowKey={(d) => d.id} columns={[
              { title: "Device", cell: (d) => <a href={`/devices/${encodeURIComponent(d.id)}`}>{d.id}</a> },
              { title: "State", cell: (d) => <Status state={d.state} /> },
              { title: "Runs", cell: runs },
              { title: "Slot", cell: (d) => d.models.map((m) => <div key={m.model}>{m.active?.slot.toUpperCase() ?? "–"}</div>) },
              { title: "Variant", cell: (d) => d.models.map((m) => <div key={m.model}>{m.active?.variant ?? "–"}</div>) },
              { title: "Hardware class", cell: (d) => <span class="mono">{d.hardware_class || "–"}</span> },
              { title: "Labels", cell: (d) => <Labels labels={d.labels} /> },
              { title: "Last seen", cell: (d) => <When ms={d.last_seen_ms} /> },
            ]} />
            {list.next_cursor && <p class="dim">The first 200 are shown: narrow the search to see others.</p>}
            <details class="more"><summary>Enrol another device</summary><Enrol /></details>
          </>
        )}
      </Loaded>
    </div>
  );
}
