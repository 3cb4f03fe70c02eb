// A dangerous action asks first, and says what will happen to whom.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import type { Problem } from "../api/types";
import { ProblemNote } from "./notes";

interface Props {
  label: string;
  question: string;
  children: ComponentChildren;
  danger?: boolean;
  act: () => Promise<unknown>;
}

export function ConfirmButton({ label, question, children, danger, act }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const confirm = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      await act();
      dialog.current?.close();
    } catch (error) {
      setProblem(error instanceof ApiError ? error.problem : { status: 0, code: "bug", title: "Error", detail: String(error) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <button type="button" class={danger ? "danger" : undefined} onClick={() => dialog.current?.showModal()}>{label}</button>
      <dialog ref={dialog} aria-labelledby={`confirm-${label}`}>
        <h2 id={`confirm-${label}`}>{question}</h2>
        <div>{children}</div>
        {problem && <ProblemNote problem={problem} />}
        <div class="dialog-actions">
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Cancel</button>
          <button type="button" class={danger ? "danger" : "primary"} disabled={busy} onClick={() => void confirm()}>{label}</button>
        </div>
      </dialog>
    </>
  );
}
