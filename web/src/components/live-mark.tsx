import { liveState } from "../state/live";

const words = { live: "Live", reconnecting: "Reconnecting…", paused: "Paused" };
const explained = {
  live: "Changes show as they happen",
  reconnecting: "The stream of changes is away; numbers are read again every ten seconds",
  paused: "This tab was hidden",
};

export function LiveMark() {
  const state = liveState.value;
  return (
    <span class={`live live-${state}`} role="status" title={explained[state]}>
      <span class="live-dot" aria-hidden="true" /> {words[state]}
    </span>
  );
}
