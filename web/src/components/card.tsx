import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

// `anchor`: a link may lead to this card ("…#drift"), which is there only once its data are.
export function Card({ title, children, wide, actions, anchor }: { title: string; children: ComponentChildren; wide?: boolean; actions?: ComponentChildren; anchor?: string }) {
  const id = useId();
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    if (anchor && window.location.hash === `#${anchor}`) ref.current?.scrollIntoView();
  }, [anchor]);
  return (
    <section ref={ref} id={anchor} class={wide ? "card wide" : "card"} aria-labelledby={id}>
      <div class="card-head"><h2 id={id}>{title}</h2>{actions}</div>
      {children}
    </section>
  );
}

export function Facts({ items }: { items: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {items.map(([name, value]) => (
        <div key={name}><dt>{name}</dt><dd>{value}</dd></div>
      ))}
    </dl>
  );
}
