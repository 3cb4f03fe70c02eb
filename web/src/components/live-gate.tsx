// The live gate of a rollout: what it says and why, in numbers: evidence, pairs, and the differences it was computed from.
import { useId } from "preact/hooks";
import type { EvidenceGroup, EvidencePart, Rollout, Verdict, VerdictRecord } from "../api/types";
import { EvidenceBar } from "../charts/evidence-bar";
import { PairPlot } from "../charts/pair-plot";
import { count, percent, plural, seconds } from "../state/format";
import { decisionWords, evidence, mostTelling, pairSets, slower } from "../state/gate";
import { deviceHref, location, setQuery } from "../state/router";
import type { Resource } from "../state/resource";
import { Card, Facts } from "./card";
import { Command } from "./copy";
import { valueOf } from "./field";
import { Empty, Loaded } from "./notes";
import { Reason } from "./reason";
import { EarlyGate } from "./rollout-cards";
import { Status } from "./status";
import { Table } from "./table";
import { VerdictRecords } from "./verdict-records";

function Decision({ verdict }: { verdict: Verdict }) {
  const words = decisionWords(verdict);
  return (
    <div class="gate-verdict">
      <p><Status state={verdict.decision} /> {words && <strong>{words}</strong>}</p>
      <ul class="plain-list">{verdict.reasons.map((code) => <li key={code}><Reason code={code} /></li>)}</ul>
    </div>
  );
}

function Evidence({ record: { verdict, policy } }: { record: VerdictRecord }) {
  const { log_e_unats: unats, threshold_unats: threshold } = verdict;
  return (
    <div class="gate-evidence">
      <p>
        Evidence of harm <strong class="gate-number">{evidence(unats)}</strong> <span class="dim">of <strong>{evidence(threshold)}</strong> needed</span>
      </p>
      <EvidenceBar unats={unats} threshold={threshold} scale={threshold} />
      <p class="dim">
        {unats >= threshold && "That is enough. "}1 says nothing, more speaks for harm, less against it. A harmless release ever reaches {evidence(threshold)} with a chance of {percent(policy.alpha_ppm)} at most, however often one looks.
      </p>
    </div>
  );
}

// Of those that have seen a pair: one that has seen none says 1, which is more than what speaks against harm.
function strongest({ parts }: EvidenceGroup): EvidencePart | undefined {
  const seen = parts.filter((part) => part.up + part.down > 0);
  return seen.reduce<EvidencePart | undefined>((best, part) => (best === undefined || part.log_e_unats > best.log_e_unats ? part : best), undefined);
}

function Groups({ verdict }: { verdict: Verdict }) {
  return (
    <Table caption="Evidence of harm by group" rows={verdict.groups} rowKey={(g) => g.name} columns={[
      { title: "Group", cell: (g) => <strong>{g.name}</strong> },
      { title: "Evidence", cell: (g) => evidence(g.log_e_unats), numeric: true },
      { title: "On a log scale", cell: (g) => <EvidenceBar unats={g.log_e_unats} threshold={0} scale={verdict.threshold_unats} /> },
      { title: "Weight", cell: (g) => count(g.weight), numeric: true },
      { title: "Canary worse", cell: (g) => count(strongest(g)?.up ?? 0), numeric: true },
      { title: "Not worse", cell: (g) => count(strongest(g)?.down ?? 0), numeric: true },
      { title: "Counted by", cell: (g) => { const by = strongest(g); return by ? <code>{by.name}</code> : <span class="dim">no pair yet</span>; } },
    ]} />
  );
}

function AllTests({ record: { verdict, policy } }: { record: VerdictRecord }) {
  const tests = verdict.groups.flatMap((group) => group.parts.map((part) => ({ group: group.name, ...part })));
  return (
    <details class="more">
      <summary>Every test and certificate</summary>
      <Table caption="Every test of the live gate" rows={tests} rowKey={(t) => `${t.group} ${t.name}`} columns={[
        { title: "Test", cell: (t) => <code>{t.name}</code> },
        { title: "Evidence of harm", cell: (t) => evidence(t.log_e_unats), numeric: true },
        { title: "Weight in its group", cell: (t) => count(t.weight), numeric: true },
        { title: "Canary worse", cell: (t) => count(t.up), numeric: true },
        { title: "Not worse", cell: (t) => count(t.down), numeric: true },
      ]} />
      <h3>Within its margin <span class="dim">certified from {evidence(-Math.log(policy.beta_ppm / 1e6) * 1e6)} on</span></h3>
      <Table caption="Certificates of the live gate" rows={verdict.certificates} rowKey={(c) => c.name} columns={[
        { title: "Metric", cell: (c) => <code>{c.name}</code> },
        { title: "Evidence that it is", cell: (c) => evidence(c.log_e_unats), numeric: true },
        { title: "Needed for a pass", cell: (c) => (c.guarded ? "yes" : "no") },
      ]} />
    </details>
  );
}

// 0 says either that harm was found anyway, or that three octaves would have passed unseen.
function smallestEffect({ smallest_effect_uoct: effect, finding }: Verdict) {
  if (effect > 0) return <strong>{slower(effect)}</strong>;
  return <span class="dim">{finding === "harm" ? "harm was found" : "none yet: even eight times slower would pass unseen"}</span>;
}

function Pairs({ record: { verdict, age_s, policy, randomised } }: { record: VerdictRecord }) {
  const { planned, started, complete, required, silent_canaries, silent_controls } = verdict.pairs;
  return (
    <Facts items={[
      ["Pairs planned", `${count(planned)}${randomised ? ", drawn at random" : ", chosen by hand"}`],
      ["Started", count(started)],
      ["Complete", `${count(complete)} of ${count(required)} required`],
      ["Silent canaries", count(silent_canaries)],
      ["Silent controls", count(silent_controls)],
      ["Watched for", `${seconds(age_s)} (at least ${seconds(policy.age_pass_min_s)}, at most ${seconds(policy.age_max_s)})`],
      ["Smallest effect we would have found", smallestEffect(verdict)],
    ]} />
  );
}

// Too few pairs for a test: what a person has to go by. It is evidence of this device's hour as much as of the release.
function OwnPast({ record }: { record: VerdictRecord }) {
  const rows = record.pairs.flatMap(({ canary, within_device: own }) => (own ? [{ canary, ...own }] : []));
  if (rows.length === 0) return null;
  return (
    <>
      <h3>Each canary against its own past <span class="dim">20 or more is strong evidence, of this device's hour as much as of the release</span></h3>
      <Table caption="Each canary against its own past" rows={rows} rowKey={(r) => r.canary} columns={[
        { title: "Canary", cell: (r) => <a class="mono" href={deviceHref(r.canary)}>{r.canary}</a> },
        { title: "Slower at p50", cell: (r) => evidence(r.p50_unats), numeric: true },
        { title: "Slower at p99", cell: (r) => evidence(r.p99_unats), numeric: true },
      ]} />
    </>
  );
}

function Differences({ record }: { record: VerdictRecord }) {
  const id = useId();
  const chosen = location.value.query.get("compare") ?? "";
  const sets = pairSets(record);
  const set = sets.find((one) => one.key === chosen) ?? mostTelling(sets, record.verdict);
  if (!set) return <Empty>The policy compares nothing.</Empty>;
  return (
    <div class="differences">
      <p class="inline-form">
        <label for={`${id}-set`}>Compare</label>
        <select id={`${id}-set`} value={set.key} onChange={(event) => setQuery("compare", valueOf(event))}>
          {sets.map((one) => <option key={one.key} value={one.key}>{one.label} ({plural(one.points.length, "pair")})</option>)}
        </select>
      </p>
      <PairPlot set={set} />
    </div>
  );
}

export function LiveGate({ rollout, verdict }: { rollout: Rollout; verdict: Resource<VerdictRecord> }) {
  // The rollout may have heard of the first look before its verdict can be read, which is no failure.
  if (verdict.value === undefined && verdict.problem?.status === 404) return <EarlyGate rollout={rollout} />;
  return (
    <Card title="Live gate" wide actions={<span class="dim">{plural(rollout.gate?.pairs ?? 0, "pair")} of a canary with {rollout.version} and a control with {rollout.from_version || "the old release"}</span>}>
      <Loaded resource={verdict}>
        {(record) => (
          <>
            <div class="gate-top"><Decision verdict={record.verdict} /><Evidence record={record} /></div>
            <Pairs record={record} />
            <h3>Where the evidence comes from</h3>
            <Groups verdict={record.verdict} />
            <h3>Differences</h3>
            <Differences record={record} />
            <OwnPast record={record} />
            <AllTests record={record} />
            <VerdictRecords id={rollout.id} />
            <p class="dim recompute">This page shows what the server has on record. Recompute it yourself, from the same evidence:</p>
            <Command line={`ferry rollout explain ${rollout.id}`} />
          </>
        )}
      </Loaded>
    </Card>
  );
}
