// A real table. On narrow screens each row becomes a small list of name and value (style.css), hence the explicit roles:
// a table whose boxes are not displayed as one loses its meaning for assistive technology.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export interface Column<T> {
  title: string;
  cell: (row: T) => ComponentChildren;
  numeric?: boolean;
}

// A frame that scrolls must be reachable by the keyboard; one that does not must not be a stop.
function useScrolls() {
  const frame = useRef<HTMLDivElement>(null);
  const [scrolls, setScrolls] = useState(false);
  useEffect(() => {
    const element = frame.current;
    if (!element || typeof ResizeObserver === "undefined") return undefined;
    const look = () => setScrolls(element.scrollWidth > element.clientWidth + 1);
    const observer = new ResizeObserver(look);
    observer.observe(element);
    if (element.firstElementChild) observer.observe(element.firstElementChild);
    return () => observer.disconnect();
  }, []);
  return { frame, scrolls };
}

export function Table<T>({ caption, columns, rows, rowKey }: { caption: string; columns: Column<T>[]; rows: T[]; rowKey: (row: T) => string }) {
  const { frame, scrolls } = useScrolls();
  return (
    <div class="table-frame" ref={frame} {...(scrolls ? { tabIndex: 0, role: "region", "aria-label": `${caption}, scrolls sideways` } : {})}>
      <table role="table">
        <caption class="hidden">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">{columns.map((c) => <th key={c.title} role="columnheader" scope="col" class={c.numeric ? "num" : undefined}>{c.title}</th>)}</tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={rowKey(row)} role="row">
              {columns.map((c) => <td key={c.title} role="cell" data-title={c.title} class={c.numeric ? "num" : undefined}><div>{c.cell(row)}</div></td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
