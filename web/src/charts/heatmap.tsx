// Drift: one row a cohort (release × hardware class, or an arm of a rollout), one cell a span of time. A state is a colour
// and a glyph; the cell under the pointer or the arrow keys says its numbers, to the eye below and to a screen reader.
import { useId, useState } from "preact/hooks";
import type { DriftCohort } from "../api/types";
import { Status } from "../components/status";
import { cellsOf, cohortName, glyphs, levels, levelWords, moment, numbersOf, sentenceOf, spansOf, type Cell } from "../state/drift";
import { plural } from "../state/format";
import { releaseHref, rolloutHref } from "../state/router";

interface Place {
  row: number;
  column: number;
}

interface Props {
  model: string;
  cohorts: DriftCohort[];
  to_ms: number;
  window_s: number;
  alarm_at: number;
  chosen: string; // id of the cohort whose windows are listed
  choose: (id: string) => void;
}

const moves: Record<string, [rows: number, columns: number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity], End: [0, Infinity], PageUp: [-Infinity, 0], PageDown: [Infinity, 0] };
const within = (value: number, size: number) => Math.max(0, Math.min(size - 1, value));

function RowName({ model, cohort: { version, hardware_class, rollout, arm, level, devices } }: { model: string; cohort: DriftCohort }) {
  return (
    <>
      <span class="heat-release"><a href={releaseHref(model, version)}>{version}</a> <Status state={level} /> <span class="dim">{plural(devices, "device")}</span></span>
      {rollout ? <span class="heat-where">{arm} of <a class="mono" href={rolloutHref(rollout)}>{rollout}</a></span> : <span class="heat-where mono">{hardware_class || "unknown hardware"}</span>}
    </>
  );
}

function Here({ cohort, cell, alarm_at, whole_ms }: { cohort: DriftCohort; cell: Cell; alarm_at: number; whole_ms: number }) {
  return (
    <>
      <strong>{cohortName(cohort)}</strong>, {moment(cell.span.start_ms, whole_ms)} to {moment(cell.span.end_ms, whole_ms)} UTC: <strong>{cell.level === "none" ? levelWords.none : cell.level}</strong>
      {cell.worst && <span class="dim"> {plural(cell.windows, "window")}, the worst: {numbersOf(cell.worst, alarm_at).join("; ")}</span>}
    </>
  );
}

export function Heatmap({ model, cohorts, to_ms, window_s, alarm_at, chosen, choose }: Props) {
  const id = useId();
  const [at, setAt] = useState<Place>();
  const spans = spansOf(to_ms, window_s);
  const whole_ms = window_s * 1_000;
  const rows = cohorts.map((cohort) => cellsOf(cohort, spans));
  const shown = at && { row: within(at.row, rows.length), column: within(at.column, spans.length) };
  const key = (event: KeyboardEvent) => {
    const from = shown ?? { row: 0, column: spans.length - 1 };
    if (event.key === "Enter" || event.key === " ") {
      if ((event.target as Element).closest("a")) return;
      event.preventDefault();
      choose(cohorts[from.row]!.id);
      return;
    }
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    setAt(shown === undefined ? from : { row: within(from.row + move[0], rows.length), column: within(from.column + move[1], spans.length) });
  };
  const here = shown && rows[shown.row]?.[shown.column];
  return (
    <div class="heatmap">
      <div role="grid" tabIndex={0} aria-label={`Drift of ${model}, ${plural(cohorts.length, "cohort")} by time`} aria-describedby={`${id}-help`} aria-rowcount={rows.length} aria-colcount={spans.length + 1}
        aria-activedescendant={shown && `${id}-${shown.row}-${shown.column}`} onKeyDown={key} onFocus={() => setAt((before) => before ?? { row: 0, column: spans.length - 1 })}>
        {cohorts.map((cohort, row) => (
          <div key={cohort.id} role="row" class={cohort.id === chosen ? "heat-row heat-chosen" : "heat-row"} aria-rowindex={row + 1} aria-selected={cohort.id === chosen}>
            <div role="rowheader" class="heat-name" aria-colindex={1}><RowName model={model} cohort={cohort} /></div>
            <div role="presentation" class="heat-cells">
              {rows[row]!.map((cell, column) => (
                <div key={cell.span.start_ms} id={`${id}-${row}-${column}`} role="gridcell" aria-colindex={column + 2} aria-label={sentenceOf(cohort, cell, alarm_at, whole_ms)}
                  class={`heat heat-${cell.level}${shown?.row === row && shown.column === column ? " heat-at" : ""}`} onPointerEnter={() => setAt({ row, column })} onClick={() => choose(cohort.id)}>
                  <span aria-hidden="true">{glyphs[cell.level]}</span>
                </div>
              ))}
            </div>
          </div>
        ))}
      </div>
      <p class="heat-axis dim" aria-hidden="true">
        <span>{moment(spans[0]?.start_ms ?? 0, whole_ms)}</span><span>{moment(spans[Math.floor(spans.length / 2)]?.start_ms ?? 0, whole_ms)}</span><span>{moment(to_ms, whole_ms)} UTC</span>
      </p>
      <ul class="legend">
        {levels.map((level) => <li key={level}><span class={`heat heat-swatch heat-${level}`} aria-hidden="true">{glyphs[level]}</span> {level === "none" ? levelWords.none : <><strong>{level}</strong> {levelWords[level]}</>}</li>)}
      </ul>
      <p class="heat-here">{shown && here ? <Here cohort={cohorts[shown.row]!} cell={here} alarm_at={alarm_at} whole_ms={whole_ms} /> : <span id={`${id}-help`} class="dim">Point at a cell, or go through them with the arrow keys; Enter lists the cohort's windows.</span>}</p>
      {shown && <span id={`${id}-help`} class="hidden">Arrow keys go from cell to cell, Enter lists the cohort's windows.</span>}
    </div>
  );
}
