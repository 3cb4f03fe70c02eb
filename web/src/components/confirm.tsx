// A dangerous action asks first, and says what will happen to whom.
import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { problemOf } from "../api/client";
import type { Problem } from "../api/types";
import { ProblemNote } from "./notes";

interface Props {
  label: string;
  question: string;
  children: ComponentChildren;
  danger?: boolean;
  unavailable?: string; // why it cannot be done now: the button is there, but disabled, and says so
  asksReason?: boolean;
  line?: string; // the same for a terminal
  act: (reason: string) => Promise<unknown>;
}

export function ConfirmButton({ label, question, children, danger, unavailable, asksReason, line, act }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const open = () => {
    setProblem(undefined);
    setReason("");
    dialog.current?.showModal();
  };
  const confirm = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await act(reason.trim());
      dialog.current?.close();
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" class={danger ? "danger" : undefined} disabled={unavailable !== undefined} title={unavailable} onClick={open}>{label}</button>
      <dialog ref={dialog} aria-labelledby={`${id}-question`} aria-describedby={`${id}-what`}>
        <form onSubmit={(event) => void confirm(event)}>
          <h2 id={`${id}-question`}>{question}</h2>
          <div id={`${id}-what`}>{children}</div>
          {asksReason && (
            <p class="field">
              <label for={`${id}-reason`}>Reason <span class="dim">(kept in the log)</span></label>
              <input id={`${id}-reason`} value={reason} maxLength={200} autocomplete="off" onInput={(event) => setReason((event.target as HTMLInputElement).value)} />
            </p>
          )}
          {line && <p class="dim">The same from a terminal: <code>{line}</code></p>}
          {problem && <ProblemNote problem={problem} />}
          <div class="dialog-actions">
            <button type="button" onClick={() => dialog.current?.close()}>Cancel</button>
            <button type="submit" class={danger ? "danger-fill" : "primary"} disabled={busy}>{busy ? "Working…" : label}</button>
          </div>
        </form>
      </dialog>
    </>
  );
}
