import { useEffect, useRef, useState } from "preact/hooks";
import { api, problemOf } from "../api/client";
import type { Device, List, Problem } from "../api/types";
import { Card } from "../components/card";
import { Command } from "../components/copy";
import { Labels } from "../components/labels";
import { valueOf } from "../components/field";
import { Empty, Loaded, ProblemNote } from "../components/notes";
import { Pager } from "../components/pager";
import { Status } from "../components/status";
import { Table } from "../components/table";
import { When } from "../components/when";
import { plural } from "../state/format";
import { pageItems, pageKeys, pagesOf } from "../state/pages";
import { deviceHref, location, releaseHref, setQuery, useTitle } from "../state/router";
import { useResource } from "../state/resource";
import { may } from "../state/session";

const states = ["", "ok", "updating", "attention", "offline", "new", "revoked"];
const typingMs = 200;

// Makes an enrolment token and shows the one line a device needs. The token is shown once.
function Enrol() {
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const create = async () => {
    setProblem(undefined);
    try {
      setToken((await api.post<{ token: string }>("/tokens", { uses: 1, ttl_s: 3600 })).token);
    } catch (error) {
      setProblem(problemOf(error));
    }
  };
  return (
    <>
      {problem && <ProblemNote problem={problem} />}
      {token ? (
        <>
          <p>Run this on the device. The token works once, for one hour, and is not shown again.</p>
          <Command line={`ferry-agent enroll --token ${token}`} />
          <p class="dim" role="status">Waiting for the device…</p>
        </>
      ) : (
        <>
          <button type="button" class="primary" disabled={!may("operator")} onClick={() => void create()}>Create an enrolment token</button>
          {!may("operator") && <p class="dim">This needs the role operator.</p>}
        </>
      )}
    </>
  );
}

function Runs({ device }: { device: Device }) {
  if (device.models.length === 0) return <span class="dim">–</span>;
  return (
    <>
      {device.models.map((m) => (
        <div key={m.model}>
          {m.active ? <a href={releaseHref(m.model, m.active.version)}>{m.model} {m.active.version}</a> : <span class="dim">{m.model}: none</span>}
          {m.assigned && m.assigned.version !== m.active?.version && <span class="dim"> → {m.assigned.version}</span>}
        </div>
      ))}
    </>
  );
}

// What is typed becomes the address, and so the question, when the typing rests.
function Search({ q }: { q: string }) {
  const [text, setText] = useState(q);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    setText(q); // the address changed by itself: back, or a link
  }, [q]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const typed = (event: Event) => {
    const value = (event.target as HTMLInputElement).value;
    setText(value);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setQuery("q", value.trim(), pageKeys()), typingMs);
  };
  return (
    <>
      <label for="q">Search</label>
      <input id="q" type="search" value={text} placeholder="id, hardware, label" autocomplete="off" onInput={typed} />
    </>
  );
}

function DeviceTable({ items }: { items: Device[] }) {
  return (
    <Table caption="Devices" rows={items} rowKey={(d) => d.id} columns={[
      { title: "Device", cell: (d) => <a class="mono" href={deviceHref(d.id)}>{d.id}</a> },
      { title: "State", cell: (d) => <Status state={d.state} /> },
      { title: "Runs", cell: (d) => <Runs device={d} /> },
      { title: "Slot", cell: (d) => d.models.map((m) => <div key={m.model}>{m.active?.slot?.toUpperCase() ?? "–"}</div>) },
      { title: "Variant", cell: (d) => d.models.map((m) => <div key={m.model}>{m.active?.variant ?? "–"}</div>) },
      { title: "Hardware class", cell: (d) => <span class="mono">{d.hardware_class || "–"}</span> },
      { title: "Labels", cell: (d) => <Labels labels={d.labels} /> },
      { title: "Last seen", cell: (d) => <When ms={d.last_seen_ms} /> },
    ]} />
  );
}

export function DevicesScreen() {
  useTitle("Devices");
  const query = location.value.query;
  const [q, state] = [query.get("q") ?? "", query.get("state") ?? ""];
  const pages = pagesOf(query);
  const path = `/devices?limit=${pageItems}${pages.query}${q ? `&q=${encodeURIComponent(q)}` : ""}${state ? `&state=${encodeURIComponent(state)}` : ""}`;
  const devices = useResource<List<Device>>(path, ["devices"], 10_000);
  const filtered = q !== "" || state !== "" || pages.number > 1;
  return (
    <div class="page">
      <h1>Devices</h1>
      <form class="filters" role="search" aria-label="Devices" onSubmit={(event) => event.preventDefault()}>
        <Search q={q} />
        <label for="state">State</label>
        <select id="state" value={state} onChange={(event) => setQuery("state", valueOf(event), pageKeys())}>
          {(states.includes(state) ? states : [...states, state]).map((s) => <option key={s} value={s}>{s || "any"}</option>)}
        </select>
        {devices.value && <span class="dim" role="status">{plural(devices.value.items.length, "device")}{devices.value.next_cursor ? " and more" : pages.number > 1 ? " on this page" : ""}</span>}
      </form>
      <Loaded resource={devices}>
        {(list) => list.items.length === 0 && !filtered && !devices.stale ? (
          <Card title="Enrol the first device"><p>No device is enrolled yet. It needs a token, once; its key never leaves it.</p><Enrol /></Card>
        ) : list.items.length === 0 ? <><Empty>No device fits this filter.</Empty><Pager pages={pages} next="" items={0} what="devices" /></> : (
          <>
            <DeviceTable items={list.items} />
            <Pager pages={pages} next={list.next_cursor} items={list.items.length} what="devices" />
            <details class="more"><summary>Enrol another device</summary><Enrol /></details>
          </>
        )}
      </Loaded>
    </div>
  );
}
