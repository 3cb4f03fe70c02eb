// What a dry run says: how many devices, in which phase and arm, with which variant; and who cannot run the release at all.
import { useState } from "preact/hooks";
import type { DryRun, DryRunDevice, RolloutPlan } from "../api/types";
import { count, plural } from "../state/format";
import { wavesOf } from "../state/phases";
import { unfit } from "../state/plan-words";
import { isCode } from "../state/reasons";
import { deviceHref } from "../state/router";
import { Card } from "./card";
import { Empty } from "./notes";
import { Reason } from "./reason";
import { Table } from "./table";

export const dryRunRows = 50;

function Waves({ plan, result }: { plan: RolloutPlan; result: DryRun }) {
  const waves = wavesOf(result, plan.policy.phases ?? []);
  return (
    <ol class="waves">
      {waves.map(({ size, devices }, i) => <li key={i}>Phase {i + 1} <span class="dim">{i === waves.length - 1 ? "everybody else" : size}</span> <strong>{plural(devices, "device")}</strong></li>)}
    </ol>
  );
}

const arms: Record<string, string> = { canary: "canary", control: "control" };

function Devices({ items }: { items: DryRunDevice[] }) {
  const [from, setFrom] = useState(0);
  const shown = items.slice(from, from + dryRunRows);
  return (
    <>
      <Table caption="What each device would get" rows={shown} rowKey={(d) => d.device} columns={[
        { title: "Device", cell: (d) => <a class="mono" href={deviceHref(d.device)}>{d.device}</a> },
        { title: "Phase", cell: (d) => count(d.phase + 1), numeric: true },
        { title: "Arm", cell: (d) => arms[d.arm] ?? <span class="dim">–</span> },
        { title: "Hardware class", cell: (d) => <span class="mono">{d.hardware_class || "–"}</span> },
        { title: "Variant", cell: (d) => (d.variant ? <strong>{d.variant}</strong> : <span class="dim">none</span>) },
        { title: "Reason", cell: (d) => (d.reason ? <Reason code={d.reason} /> : <span class="dim">–</span>) },
      ]} />
      {items.length > dryRunRows && (
        <p class="pager">
          <button type="button" class="small" disabled={from === 0} onClick={() => setFrom(from - dryRunRows)}>Previous devices</button>
          <span class="dim">{count(from + 1)} to {count(from + shown.length)} of {count(items.length)}</span>
          <button type="button" class="small" disabled={from + dryRunRows >= items.length} onClick={() => setFrom(from + dryRunRows)}>Next devices</button>
        </p>
      )}
    </>
  );
}

export function DryRunCard({ plan, result }: { plan: RolloutPlan; result: DryRun }) {
  const cannot = [...unfit(result)];
  return (
    <Card title="Dry run" wide actions={<span class="dim" role="status">{plural(result.selected, "device")} selected. Nothing was made.</span>}>
      {result.selected === 0 ? <Empty>No device matches {plan.selector}.</Empty> : (
        <>
          <Waves plan={plan} result={result} />
          {cannot.length > 0 && (
            <div class="note note-warn">
              <ul class="plain-list">{cannot.map(([reason, n]) => <li key={reason}><strong>{plural(n, "device")} {isCode(reason) ? "cannot run it" : "may not be able to run it"}:</strong> <Reason code={reason} /></li>)}</ul>
            </div>
          )}
          <Devices items={result.items} />
          <p class="dim">Which devices fall into a phase of percents, and which are canaries, is drawn anew when the rollout is made.</p>
          {result.truncated && <p class="dim">The first {count(result.items.length)} of {count(result.selected)} devices are listed.</p>}
        </>
      )}
    </Card>
  );
}
