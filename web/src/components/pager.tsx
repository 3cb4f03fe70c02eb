import type { Pages } from "../state/pages";

interface Props {
  pages: Pages;
  next: string; // the answer's next_cursor
  items: number;
  what: string; // "devices"
}

// Links, not buttons: a page has an address. Nothing at all when everything is on one page.
export function Pager({ pages, next, items, what }: Props) {
  const forward = pages.next(next);
  if (pages.previous === undefined && forward === undefined) return null;
  return (
    <nav class="pager" aria-label={`Pages of ${what}`}>
      {pages.previous !== undefined ? <a rel="prev" href={pages.previous}>Previous page</a> : <span class="dim">First page</span>}
      <span class="dim" aria-current="page">Page {pages.number}{items === 0 && ": nothing here any more"}</span>
      {forward !== undefined ? <a rel="next" href={forward}>Next page</a> : <span class="dim">Last page</span>}
      {pages.number > 2 && <a href={pages.first}>First page</a>}
    </nav>
  );
}
