// Every verdict of a live gate that is on record, with its numbers; each is there whole, to be computed again elsewhere.
import { useState } from "preact/hooks";
import type { List, RecordedVerdict } from "../api/types";
import { count, seconds } from "../state/format";
import { evidence } from "../state/gate";
import { useResource } from "../state/resource";
import { rolloutHref } from "../state/router";
import { Empty, Loaded } from "./notes";
import { Reason } from "./reason";
import { Status } from "./status";
import { Table } from "./table";
import { When } from "./when";

export const recordsShown = 10; // each may hold a thousand pairs

function Records({ id }: { id: string }) {
  const records = useResource<List<RecordedVerdict>>(`${rolloutHref(id)}/verdicts?limit=${recordsShown}`, [`rollout:${id}`]);
  return (
    <Loaded resource={records}>
      {(list) => list.items.length === 0 ? <Empty>None yet.</Empty> : (
        <>
          <Table caption="Verdicts on record" rows={list.items} rowKey={(r) => `${r.at_ms} ${r.decision}`} columns={[
            { title: "When", cell: (r) => <When ms={r.at_ms} /> },
            { title: "Decision", cell: (r) => <Status state={r.decision === "hold" ? "" : r.decision} word={r.decision} /> },
            { title: "Evidence of harm", cell: (r) => `${evidence(r.record.verdict.log_e_unats)} of ${evidence(r.record.verdict.threshold_unats)}`, numeric: true },
            { title: "Pairs complete", cell: ({ record: { verdict: { pairs } } }) => `${count(pairs.complete)} of ${count(pairs.required)}`, numeric: true },
            { title: "Silent canaries", cell: (r) => count(r.record.verdict.pairs.silent_canaries), numeric: true },
            { title: "Watched for", cell: (r) => seconds(r.record.age_s), numeric: true },
            { title: "Reasons", cell: (r) => r.record.verdict.reasons.map((code) => <div key={code}><Reason code={code} /></div>) },
          ]} />
          {list.next_cursor && <p class="dim">The newest {recordsShown}.</p>}
        </>
      )}
    </Loaded>
  );
}

export function VerdictRecords({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="more" onToggle={(event) => setOpen((event.currentTarget as HTMLDetailsElement).open)}>
      <summary>Verdicts on record</summary>
      {open && <Records id={id} />}
      {open && <p><a href={`/api/v1${rolloutHref(id)}/verdict`} download={`${id}.verdict.json`}>The present one as JSON</a>, with every pair</p>}
    </details>
  );
}
