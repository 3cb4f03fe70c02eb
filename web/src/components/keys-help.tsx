// The list of keys, and the switch that turns them off.
import { useEffect, useId, useRef } from "preact/hooks";
import { keysHelp, keysOn, setKeysOn } from "../state/keys";

const keys: [string[], string][] = [
  [["g", "o"], "Overview"], [["g", "d"], "Devices"], [["g", "r"], "Releases"], [["g", "t"], "Rollouts"], [["g", "m"], "Telemetry"], [["/"], "Search on this page"], [["?"], "This list"], [["Esc"], "Close"],
];

export function KeysHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const open = keysHelp.value;
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
  }, [open]);
  return (
    <>
      <button type="button" class="quiet" title="Keyboard shortcuts" onClick={() => (keysHelp.value = true)}>?<span class="hidden"> Keyboard shortcuts</span></button>
      <dialog ref={dialog} aria-labelledby={id} onClose={() => (keysHelp.value = false)}>
        <h2 id={id}>Keyboard shortcuts</h2>
        <dl class="keys">
          {keys.map(([pressed, what]) => [<dt key={what}>{pressed.map((key) => <kbd key={key}>{key}</kbd>)}</dt>, <dd key={`${what}.`}>{what}</dd>])}
        </dl>
        <p class="check">
          <input id={`${id}-on`} type="checkbox" checked={keysOn.value} onChange={(event) => setKeysOn((event.target as HTMLInputElement).checked)} />
          <label for={`${id}-on`}>Keys of one letter are on</label>
        </p>
        <div class="dialog-actions"><button type="button" class="primary" onClick={() => dialog.current?.close()}>Close</button></div>
      </dialog>
    </>
  );
}
