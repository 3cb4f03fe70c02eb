// A state as icon, word and colour: never colour alone.
const tones: Record<string, "good" | "busy" | "bad" | "warn" | "plain"> = {
  ok: "good", done: "good", committed: "good", current: "good", pass: "good", PASSED: "good", serving: "good", active: "good", verified: "good",
  running: "busy", updating: "busy", downloading: "busy", staged: "busy", trial: "busy", soaking: "busy", rolling_out: "busy", offered: "busy", rolling_back: "busy",
  failed: "bad", fail: "bad", FAILED: "bad", rolled_back: "bad", rejected: "bad", refused: "bad", timed_out: "bad", quarantined: "bad", revoked: "bad", error: "bad", "not verified": "bad",
  attention: "warn", hold: "warn", WARNED: "warn", paused: "warn", offline: "warn", aborted: "warn", warning: "warn",
};
const marks = { good: "✓", busy: "↻", bad: "✕", warn: "!", plain: "·" };

export function Status({ state, word }: { state: string; word?: string }) {
  const tone = tones[state] ?? "plain";
  return (
    <span class={`status status-${tone}`}>
      <span class="status-mark" aria-hidden="true">{marks[tone]}</span> {word ?? state.replace(/_/g, " ")}
    </span>
  );
}
