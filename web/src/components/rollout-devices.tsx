// The devices of a rollout, page by page, all or those in one state. The address says which.
import type { List, RolloutDevice } from "../api/types";
import type { Arm } from "../state/gate";
import { pageKeys, pagesOf } from "../state/pages";
import { useResource } from "../state/resource";
import { deviceHref, location, rolloutHref, setQuery, withQuery } from "../state/router";
import { wordOf } from "../state/words";
import { valueOf } from "./field";
import { Empty, Loaded } from "./notes";
import { Pager } from "./pager";
import { Reason } from "./reason";
import { deviceStates } from "./rollout-line";
import { Status } from "./status";
import { Table } from "./table";
import { When } from "./when";

const name = "device_";
const items = 25; // below much else

// The address of the devices in one state, on the page that is shown.
export const devicesIn = (state: string) => `${withQuery({ state, [`${name}cursor`]: "", [`${name}before`]: [] })}#devices`;

export function RolloutDevices({ id, arms }: { id: string; arms: Map<string, Arm> }) {
  const query = location.value.query;
  const state = query.get("state") ?? "";
  const pages = pagesOf(query, name, "devices");
  const devices = useResource<List<RolloutDevice>>(`${rolloutHref(id)}/devices?limit=${items}${pages.query}${state ? `&state=${encodeURIComponent(state)}` : ""}`, [`rollout:${id}`]);
  const offered = state === "" || deviceStates.includes(state) ? deviceStates : [...deviceStates, state];
  return (
    <>
      <p class="inline-form">
        <label for="device-state">State</label>
        <select id="device-state" value={state} onChange={(event) => setQuery("state", valueOf(event), pageKeys(name))}>
          <option value="">any</option>
          {offered.map((one) => <option key={one} value={one}>{wordOf(one)}</option>)}
        </select>
      </p>
      <Loaded resource={devices}>
        {(list) => (
          <>
            {list.items.length === 0 ? <Empty>{state ? `No device is ${wordOf(state)}.` : "It selects no device."}</Empty> : (
              <Table caption="Devices of this rollout" rows={list.items} rowKey={(d) => d.device} columns={[
                { title: "Device", cell: (d) => <a class="mono" href={deviceHref(d.device)}>{d.device}</a> },
                { title: "State", cell: (d) => <Status state={d.state} /> },
                { title: "Phase", cell: (d) => d.phase + 1, numeric: true },
                ...(arms.size > 0 ? [{ title: "Arm", cell: (d: RolloutDevice) => arms.get(d.device) ?? <span class="dim">–</span> }] : []),
                { title: "Reason", cell: (d) => (d.reason ? <Reason code={d.reason} /> : <span class="dim">–</span>) },
                { title: "Since", cell: (d) => (d.since_ms > 0 ? <When ms={d.since_ms} /> : <span class="dim">–</span>) },
              ]} />
            )}
            <Pager pages={pages} next={list.next_cursor} items={list.items.length} what="devices" />
          </>
        )}
      </Loaded>
    </>
  );
}
