// A list page by page: the address holds the page's cursor and those of the pages before it, so that back, links and reload
// show the same, and “previous” is possible although a cursor only leads forward.
import { withQuery } from "./router";

export const pageItems = 100;
export const trailMax = 100; // pages that “previous” remembers

export interface Pages {
  number: number; // from 1
  query: string; // to append to a list's path: "&cursor=…", or nothing on the first page
  first: string; // addresses
  previous: string | undefined;
  next: (cursor: string) => string | undefined;
}

// `name` keeps two lists of one screen apart; `anchor` is where to be after a step.
export function pagesOf(query: URLSearchParams, name = "", anchor = ""): Pages {
  const [cursorKey, beforeKey] = [`${name}cursor`, `${name}before`];
  const cursor = query.get(cursorKey) ?? "";
  const before = cursor ? query.getAll(beforeKey) : [];
  const at = (to: string, trail: string[]) => withQuery({ [beforeKey]: trail.slice(-trailMax), [cursorKey]: to }) + (anchor && `#${anchor}`);
  return {
    number: cursor ? before.length + 2 : 1,
    query: cursor ? `&cursor=${encodeURIComponent(cursor)}` : "",
    first: at("", []),
    previous: cursor ? at(before[before.length - 1] ?? "", before.slice(0, -1)) : undefined,
    next: (to) => (to ? at(to, cursor ? [...before, cursor] : []) : undefined),
  };
}

// What a new filter forgets.
export const pageKeys = (name = "") => [`${name}cursor`, `${name}before`];
