import type { Attention, Overview } from "../api/types";
import { StackedBar } from "../charts/stacked-bar";
import { Card } from "../components/card";
import { Empty, Loaded } from "../components/notes";
import { RolloutLine } from "../components/rollout-line";
import { Status } from "../components/status";
import { Timeline } from "../components/timeline";
import { When } from "../components/when";
import { count, microseconds } from "../state/format";
import { useResource } from "../state/resource";

function Tile({ label, value, note, href }: { label: string; value: string; note: string; href: string }) {
  return (
    <a class="tile" href={href}>
      <span class="tile-label">{label}</span>
      <span class="tile-value">{value}</span>
      <span class="dim">{note}</span>
    </a>
  );
}

function subjectLink(subject: string): string {
  const [kind, id] = [subject.split(":")[0], subject.slice(subject.indexOf(":") + 1)];
  if (kind === "rollout") return `/rollouts/${encodeURIComponent(id)}`;
  if (kind === "device") return `/devices/${encodeURIComponent(id)}`;
  return "/";
}

function AttentionList({ items }: { items: Attention[] }) {
  if (items.length === 0) return <Empty>Nothing needs you. All is well.</Empty>;
  return (
    <ul class="plain-list">
      {items.map((item) => (
        <li key={item.subject + item.kind}>
          <Status state={item.severity === "error" ? "error" : "warning"} word={item.kind.replace(/_/g, " ")} />
          <a href={subjectLink(item.subject)}>{item.text}</a> {item.reason && <code>{item.reason}</code>} <span class="dim"><When ms={item.since_ms} /></span>
        </li>
      ))}
    </ul>
  );
}

function Distribution({ overview }: { overview: Overview }) {
  if (overview.distribution.length === 0) return <Empty>No model is published yet.</Empty>;
  return (
    <>
      {overview.distribution.map((model) => (
        <div key={model.model}>
          <h3>{model.model}</h3>
          <StackedBar what={`Devices of ${model.model} by release`}
            parts={model.releases.map((r, i) => ({ label: r.version || "no release", value: r.devices, tone: r.version ? `series-swatch-${i % 6}` : "tone-empty" }))} />
        </div>
      ))}
    </>
  );
}

export function OverviewScreen() {
  const overview = useResource<Overview>("/overview", ["overview"]);
  return (
    <div class="page">
      <h1>Overview</h1>
      <Loaded resource={overview}>
        {(o) => (
          <>
            <div class="tiles">
              <Tile label="Devices online" value={`${count(o.devices.online)} / ${count(o.devices.total)}`} note={`${o.devices.offline} offline, ${o.devices.new} new`} href="/devices" />
              <Tile label="Updating" value={count(o.devices.updating)} note="devices on their way" href="/devices?state=updating" />
              <Tile label="Need attention" value={count(o.devices.attention)} note="devices whose last update ended badly" href="/devices?state=attention" />
              <Tile label="Latency p99" value={microseconds(o.telemetry.p99_us)} note={`p50 ${microseconds(o.telemetry.p50_us)}, last hour`} href="/telemetry" />
              <Tile label="Inferences" value={count(o.telemetry.inferences)} note={`${count(o.telemetry.errors)} errors, last hour`} href="/telemetry" />
            </div>
            <div class="columns">
              <Card title="Needs attention"><AttentionList items={o.attention} /></Card>
              <Card title="Active rollouts">
                {o.rollouts.length === 0 ? <Empty>No rollout is running.</Empty> : o.rollouts.map((r) => <RolloutLine key={r.id} rollout={r} />)}
              </Card>
              <Card title="Releases on devices"><Distribution overview={o} /></Card>
              <Card title="Latest events">{o.feed.length === 0 ? <Empty>Nothing has happened yet.</Empty> : <Timeline items={o.feed.slice(0, 12)} withDevice />}</Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
