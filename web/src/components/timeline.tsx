import type { TimelineItem } from "../api/types";
import { clock } from "../state/format";
import { deviceHref, releaseHref } from "../state/router";
import { entriesOf, messageOf, type Entry } from "../state/timeline";
import { Reason } from "./reason";
import { wordOf } from "../state/words";
import { Status, toneOf } from "./status";
import { When } from "./when";

const stateOf = (item: TimelineItem) => item.state || item.kind;
const stepWord = (item: TimelineItem) => (item.kind === "started" ? "restarted" : item.kind === "labelled" ? messageOf(item) : wordOf(stateOf(item)));

function Steps({ steps }: { steps: TimelineItem[] }) {
  const told = steps.slice(0, -1).filter((step) => step.kind === "update" && messageOf(step) !== "");
  return (
    <>
      <ol class="steps" aria-label="Steps">
        {steps.map((step) => (
          <li key={step.id} class={`step step-${toneOf(stateOf(step))}`}>{stepWord(step)} <span class="step-time">{clock(step.at_ms, "second")}</span></li>
        ))}
      </ol>
      {told.map((step) => <p key={step.id} class="entry-note"><span class="dim">{stepWord(step)}: {messageOf(step)}</span></p>)}
    </>
  );
}

function Row({ entry, withDevice, withSteps }: { entry: Entry; withDevice: boolean; withSteps: boolean }) {
  const { head, steps } = entry;
  const placed = [...steps].reverse().find((step) => step.variant);
  const message = messageOf(head);
  return (
    <li class={`entry entry-${toneOf(stateOf(head))}`}>
      <span class="entry-when"><When ms={head.at_ms} /></span>
      <div class="entry-body">
        <p class="entry-head">
          <Status state={stateOf(head)} />
          {head.version && <a href={releaseHref(head.model ?? "", head.version)}>{head.model} {head.version}</a>}
          {withDevice && head.device && <span class="dim">on <a class="mono" href={deviceHref(head.device)}>{head.device}</a></span>}
          {!withDevice && placed && <span class="dim">{placed.variant}{placed.slot && ` in slot ${placed.slot.toUpperCase()}`}</span>}
        </p>
        {(head.reason || message) && <p class="entry-note">{head.reason && <Reason code={head.reason} />}{head.reason && message && <span class="dim"> · </span>}{message && <span class="dim">{message}</span>}</p>}
        {withSteps && steps.length > 1 && <Steps steps={steps} />}
      </div>
    </li>
  );
}

export function Timeline({ items, withDevice = false, withSteps = false, max = Infinity }: { items: TimelineItem[]; withDevice?: boolean; withSteps?: boolean; max?: number }) {
  return (
    <ol class={withSteps ? "timeline" : "timeline timeline-brief"}>
      {entriesOf(items).slice(0, max).map((entry) => (
        <Row key={`${entry.head.device ?? ""}-${entry.steps[0]!.id}`} entry={entry} withDevice={withDevice} withSteps={withSteps} />
      ))}
    </ol>
  );
}
