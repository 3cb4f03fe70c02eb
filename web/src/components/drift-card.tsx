// Drift of a model: the heatmap, what it means for a rollout under way, and one cohort's windows with all their numbers.
import { useMemo } from "preact/hooks";
import type { Drift, DriftCause, DriftCohort, DriftWindow } from "../api/types";
import { Heatmap } from "../charts/heatmap";
import { cohortName, factor, guessOf, moment } from "../state/drift";
import { absolute, count, percent, plural } from "../state/format";
import { useResource } from "../state/resource";
import { location, rolloutHref, setQuery } from "../state/router";
import { Card } from "./card";
import { Empty, Loaded } from "./notes";
import { Reason } from "./reason";
import { Status } from "./status";
import { Table } from "./table";

const windowsShown = 10;

// What drift says about a rollout: the inputs of everybody, or the release.
function Cause({ cause: c }: { cause: DriftCause }) {
  const world = c.cause === "world";
  if (!world && c.cause !== "model") return null;
  return (
    <div class={`note ${world ? "note-warn" : "note-bad"}`}>
      <p>
        <strong>{world ? "The world changed." : "Only the canaries drift."}</strong>{" "}
        {world ? `The inputs moved on devices with ${c.version} and on those that kept ${c.from_version || "the old release"} alike: nothing against the release, but what CI measured may no longer hold.` : `Devices with ${c.version} answer differently from their controls: evidence about the release.`}{" "}
        <a href={rolloutHref(c.rollout)}>Rollout <span class="mono">{c.rollout}</span></a> {c.text && <span>({c.text})</span>} {c.reason && <Reason code={c.reason} />}
      </p>
    </div>
  );
}

const accuracy = (window: DriftWindow, guess = guessOf(window)) => (guess ? `${percent(guess.now * 1e6)} of ${percent(guess.reference * 1e6)}` : "–");
const effects = ({ shift }: DriftWindow) => Object.entries(shift).map(([name, { tv }]) => `${name} ${tv.toFixed(2)}`).join(", ") || "–";

function Windows({ cohort, alarm_at, whole_ms }: { cohort: DriftCohort; alarm_at: number; whole_ms: number }) {
  const rows = [...cohort.windows].reverse().slice(0, windowsShown);
  if (rows.length === 0) return <Empty>No window has closed in this time.</Empty>;
  return (
    <>
      <Table caption={`Windows of ${cohortName(cohort)}`} rows={rows} rowKey={(w) => String(w.start_ms)} columns={[
        { title: "Ended (UTC)", cell: (w) => <time dateTime={new Date(w.end_ms).toISOString()} title={absolute(w.end_ms)}>{moment(w.end_ms, whole_ms)}</time> },
        { title: "Level", cell: (w) => <Status state={w.level} /> },
        { title: "Predictions", cell: (w) => count(w.samples), numeric: true },
        { title: "Devices", cell: (w) => count(w.devices), numeric: true },
        { title: `Evidence, alarm at ${factor(alarm_at)}`, cell: (w) => <>{factor(w.sr)}{w.alarm && <strong> alarm</strong>}</>, numeric: true },
        { title: "Total variation", cell: (w) => effects(w) },
        { title: "Estimated accuracy", cell: (w) => accuracy(w), numeric: true },
        { title: "Labels right / wrong", cell: (w) => (w.labels.right + w.labels.wrong > 0 ? `${count(w.labels.right)} / ${count(w.labels.wrong)}` : "–"), numeric: true },
        { title: "Also failing", cell: (w) => w.witness.join(", ") || <span class="dim">–</span> },
      ]} />
      {cohort.windows.length > rows.length && <p class="dim">The newest {windowsShown} of {plural(cohort.windows.length, "window")} in this time; {count(cohort.windows_total)} ever.</p>}
    </>
  );
}

function Filling({ cohort: { open, reason, reference_samples, alarms }, needed }: { cohort: DriftCohort; needed: number }) {
  const filling = open ? `The window that is filling has ${count(open.samples)} of ${count(needed)} predictions from ${plural(open.devices, "device")}.` : "No window is filling.";
  return <p class="dim">{reason && <><Reason code={reason} />. </>}{filling} Compared with {plural(reference_samples, "prediction")} of the CI gate. {alarms > 0 ? `${plural(alarms, "alarm")} so far.` : "No alarm so far."}</p>;
}

export function DriftCard({ model, window_s }: { model: string; window_s: number }) {
  // Once for each question: a bound that moved with every second would be another question every second.
  const since = useMemo(() => Date.now() - window_s * 1_000, [model, window_s]);
  const drift = useResource<Drift>(`/drift?model=${encodeURIComponent(model)}&since_ms=${since}`, ["drift", "releases"], 30_000);
  const id = location.value.query.get("cohort") ?? "";
  return (
    <Card title="Drift" wide anchor="drift" actions={<span class="dim">predictions in the field beside those of the release's CI gate</span>}>
      <Loaded resource={drift}>
        {(d) => {
          const chosen = d.cohorts.find((cohort) => cohort.id === id);
          return (
            <>
              {d.rollouts.map((cause) => <Cause key={cause.rollout} cause={cause} />)}
              {d.cohorts.length === 0 ? <Empty>No release of this model has a reference profile and devices that run it.</Empty> : (
                <Heatmap model={model} cohorts={d.cohorts} to_ms={d.to_ms} window_s={window_s} alarm_at={d.policy.alarm_at} chosen={id} choose={(one) => setQuery("cohort", one === id ? "" : one)} />
              )}
              {chosen && (
                <>
                  <div class="card-head below"><h3>{cohortName(chosen)}</h3><button type="button" class="quiet small" onClick={() => setQuery("cohort", "")}>Close windows</button></div>
                  <Filling cohort={chosen} needed={d.policy.window_samples} />
                  <Windows cohort={chosen} alarm_at={d.policy.alarm_at} whole_ms={window_s * 1_000} />
                </>
              )}
            </>
          );
        }}
      </Loaded>
    </Card>
  );
}
