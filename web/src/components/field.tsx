// One field of a form: its label, the hint, and what is wrong with it, tied together for those who do not see them.
import type { ComponentChildren } from "preact";
import type { FieldKind, PlanField } from "../state/plan-fields";

interface Shell {
  id: string;
  label: string;
  hint?: string | undefined;
  problem?: string | undefined;
  children: (described: { id: string; "aria-describedby"?: string; "aria-invalid"?: "true" }) => ComponentChildren;
}

export function FieldShell({ id, label, hint, problem, children }: Shell) {
  const described = [problem && `${id}-problem`, hint && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div class={problem ? "field field-wrong" : "field"}>
      <label for={id}>{label}</label>
      {children({ id, ...(described && { "aria-describedby": described }), ...(problem && { "aria-invalid": "true" as const }) })}
      {problem && <p id={`${id}-problem`} class="field-problem" role="alert">{problem}</p>}
      {hint && <p id={`${id}-hint`} class="field-hint">{hint}</p>}
    </div>
  );
}

export const valueOf = (event: Event) => (event.target as HTMLInputElement | HTMLSelectElement).value;

const keyboards: Partial<Record<FieldKind, "numeric" | "decimal">> = { count: "numeric", percent: "decimal" };

interface Props {
  field: PlanField;
  value: string;
  problem?: string | undefined;
  set: (value: string) => void;
}

export function TextField({ field: { key, kind, label, hint }, value, problem, set }: Props) {
  if (kind === "flag") {
    return (
      <div class="field">
        <span class="check">
          <input id={`plan-${key}`} type="checkbox" checked={value === "on"} aria-describedby={`plan-${key}-hint`} onChange={(event) => set((event.target as HTMLInputElement).checked ? "on" : "")} />
          <label for={`plan-${key}`}>{label}</label>
        </span>
        <p id={`plan-${key}-hint`} class="field-hint">{hint}</p>
      </div>
    );
  }
  return (
    <FieldShell id={`plan-${key}`} label={label} hint={hint} problem={problem}>
      {(described) => {
        const all = { ...described, value, onInput: (event: Event) => set(valueOf(event)) };
        if (kind === "instant") return <input type="datetime-local" {...all} />;
        if (kind === "clock") return <input type="time" {...all} />;
        return <input type="text" {...all} {...(keyboards[kind] && { inputMode: keyboards[kind] })} maxLength={2048} autocomplete="off" spellcheck={false} />;
      }}
    </FieldShell>
  );
}
