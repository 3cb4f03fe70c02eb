import { liveState } from "../state/live";

const words = { live: "Live", reconnecting: "Reconnecting…", paused: "Paused" };

export function LiveMark() {
  const state = liveState.value;
  return (
    <span class={`live live-${state}`} role="status">
      <span class="live-dot" aria-hidden="true" /> {words[state]}
    </span>
  );
}
