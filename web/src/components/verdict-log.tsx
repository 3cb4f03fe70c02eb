// Every decision of a rollout with its numbers, newest first.
import type { Rollout } from "../api/types";
import { reasons } from "../state/reasons";
import { wordOf } from "../state/words";
import { Empty } from "./notes";
import { Reason } from "./reason";
import { Status } from "./status";
import { Table } from "./table";
import { When } from "./when";

// "gate.latency: evidence of harm 33 of 20 needed; …": the code, its words and the numbers.
function Why({ detail }: { detail: string }) {
  const code = detail.slice(0, detail.indexOf(": "));
  if (!reasons.has(code)) return <>{detail}</>;
  return <><Reason code={code} />: {detail.slice(code.length + 2)}</>;
}

export function VerdictLog({ rollout }: { rollout: Rollout }) {
  if (rollout.log.length === 0) return <Empty>Nothing has been decided yet.</Empty>;
  return (
    <Table caption="Verdict log" rows={rollout.log} rowKey={(l) => `${l.at_ms}-${l.phase}-${l.decision}-${l.detail}`} columns={[
      { title: "When", cell: (l) => <When ms={l.at_ms} /> },
      { title: "Phase", cell: (l) => l.phase + 1, numeric: true },
      // "hold" is the ordinary state of a rollout that goes on: nothing to warn of.
      { title: "Verdict", cell: (l) => <Status state={l.verdict === "hold" ? "" : l.verdict} word={wordOf(l.verdict)} /> },
      { title: "Decision", cell: (l) => <strong>{l.decision}</strong> },
      { title: "Why", cell: (l) => <Why detail={l.detail} /> },
      { title: "By", cell: (l) => l.by || <span class="dim">the engine</span> },
    ]} />
  );
}
