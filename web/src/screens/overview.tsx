import type { Attention, Overview } from "../api/types";
import { StackedBar } from "../charts/stacked-bar";
import { Card } from "../components/card";
import { Empty, Loaded } from "../components/notes";
import { Reason } from "../components/reason";
import { RolloutLine } from "../components/rollout-line";
import { Status } from "../components/status";
import { Timeline } from "../components/timeline";
import { When } from "../components/when";
import { count, microseconds, plural, seconds } from "../state/format";
import { deviceHref, rolloutHref, useTitle } from "../state/router";
import { useResource } from "../state/resource";

function Tile({ label, value, of, note, href, tone }: { label: string; value: string; of?: string; note: string; href: string; tone?: "bad" | "busy" | undefined }) {
  return (
    <a class={tone ? `tile tile-${tone}` : "tile"} href={href}>
      <span class="tile-label">{label}</span>
      <span class="tile-value">{value}{of && <span class="tile-of"> / {of}</span>}</span>
      <span class="tile-note">{note}</span>
    </a>
  );
}

// The screen that shows what an attention line is about; trust has none.
export function subjectHref(subject: string): string | undefined {
  const id = subject.slice(subject.indexOf(":") + 1);
  if (subject.startsWith("rollout:")) return rolloutHref(id);
  if (subject.startsWith("device:")) return deviceHref(id);
  if (subject.startsWith("drift:")) return `/telemetry?model=${encodeURIComponent(id)}#drift`;
  return undefined;
}

function AttentionList({ items }: { items: Attention[] }) {
  if (items.length === 0) return <Empty>Nothing needs you. All is well.</Empty>;
  return (
    <ul class="attention">
      {items.map((item) => {
        const href = subjectHref(item.subject);
        return (
          <li key={item.subject + item.kind}>
            <span class="attention-kind"><Status state={item.severity === "error" ? "error" : "warning"} word={item.kind.replace(/_/g, " ")} /></span>{" "}
            <span>
              {href ? <a href={href}>{item.text}</a> : item.text}
              <span class="attention-why">
                {item.reason && <Reason code={item.reason} />}{item.reason && item.since_ms > 0 && " · "}{item.since_ms > 0 && <When ms={item.since_ms} />}
              </span>
            </span>
          </li>
        );
      })}
    </ul>
  );
}

function Distribution({ overview }: { overview: Overview }) {
  if (overview.distribution.length === 0) return <Empty>No model is published yet.</Empty>;
  return (
    <>
      {overview.distribution.map((model) => (
        <div key={model.model} class="distribution">
          <h3>{model.model}</h3>
          <StackedBar what={`Devices of ${model.model} by release`}
            parts={model.releases.map((r, i) => ({ label: r.version || "no release", value: r.devices, tone: r.version ? `series-swatch-${i % 6}` : "tone-wait" }))} />
        </div>
      ))}
    </>
  );
}

function Tiles({ overview: { devices, telemetry } }: { overview: Overview }) {
  const window = telemetry.window_s === 3_600 ? "last hour" : `last ${seconds(telemetry.window_s)}`;
  return (
    <div class="tiles">
      <Tile label="Devices online" value={count(devices.online)} of={count(devices.total)} note={`${count(devices.offline)} offline, ${count(devices.new)} new`} href="/devices" />
      <Tile label="Updating" value={count(devices.updating)} note="devices on their way" href="/devices?state=updating" tone={devices.updating > 0 ? "busy" : undefined} />
      <Tile label="Need attention" value={count(devices.attention)} note="last update ended badly" href="/devices?state=attention" tone={devices.attention > 0 ? "bad" : undefined} />
      <Tile label="Latency p99" value={microseconds(telemetry.p99_us)} note={`p50 ${microseconds(telemetry.p50_us)}, ${window}`} href="/telemetry" />
      <Tile label="Inferences" value={count(telemetry.inferences)} note={`${plural(telemetry.errors, "error")}, ${window}`} href="/telemetry" />
    </div>
  );
}

export function OverviewScreen() {
  useTitle("Overview");
  const overview = useResource<Overview>("/overview", ["overview"], 10_000);
  return (
    <div class="page">
      <h1>Overview</h1>
      <Loaded resource={overview}>
        {(o) => (
          <>
            <Tiles overview={o} />
            <div class="split">
              <div class="stack">
                <Card title="Needs attention"><AttentionList items={o.attention} /></Card>
                <Card title="Active rollouts">
                  {o.rollouts.length === 0 ? <Empty>No rollout is running.</Empty> : o.rollouts.map((r) => <RolloutLine key={r.id} rollout={r} />)}
                </Card>
                <Card title="Releases on devices"><Distribution overview={o} /></Card>
              </div>
              <Card title="Latest events">{o.feed.length === 0 ? <Empty>Nothing has happened yet.</Empty> : <Timeline items={o.feed} withDevice max={8} />}</Card>
            </div>
          </>
        )}
      </Loaded>
    </div>
  );
}
