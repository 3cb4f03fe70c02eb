// The address is the state: path and query, nothing else.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Location {
  path: string;
  query: URLSearchParams;
}

const read = (): Location => ({ path: window.location.pathname, query: new URLSearchParams(window.location.search) });

export const location = signal<Location>(read());

export function go(to: string): void {
  window.history.pushState(null, "", to);
  location.value = read();
  const part = to.includes("#") ? document.getElementById(to.slice(to.indexOf("#") + 1)) : null;
  if (part) part.scrollIntoView();
  else window.scrollTo(0, 0);
}

// Writes the whole query in place: going back leaves the page, not its filters.
export function replaceQuery(query: URLSearchParams): void {
  const text = query.toString();
  window.history.replaceState(null, "", window.location.pathname + (text ? `?${text}` : ""));
  location.value = read();
}

// Changes one query value in place, as filters do; an empty value removes it. A list filtered anew begins at its first page.
export function setQuery(key: string, value: string, restarts: string[] = []): void {
  const query = new URLSearchParams(window.location.search);
  if (value) query.set(key, value);
  else query.delete(key);
  for (const other of restarts) query.delete(other);
  replaceQuery(query);
}

// A value that may be there several times, as switches of a page are: ?table=latency&table=errors.
export const hasInQuery = (key: string, value: string) => location.value.query.getAll(key).includes(value);
export function toggleInQuery(key: string, value: string): void {
  const query = new URLSearchParams(window.location.search);
  const others = query.getAll(key).filter((one) => one !== value);
  const added = others.length === query.getAll(key).length ? [value] : [];
  query.delete(key);
  for (const one of [...others, ...added]) query.append(key, one);
  replaceQuery(query);
}

// Whether a link leads to a screen of this site: not to another origin ("//host"), not to the server's own answers.
function isScreen(href: string): boolean {
  if (!href.startsWith("/")) return false;
  const url = new URL(href, window.location.href);
  return url.origin === window.location.origin && !url.pathname.startsWith("/api/");
}

export function startRouter(): () => void {
  const moved = () => {
    location.value = read();
  };
  // Ordinary links stay ordinary links: one listener keeps those of this site inside the page.
  const clicked = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    const href = link?.getAttribute("href");
    if (!link || !href || !isScreen(href) || link.hasAttribute("download") || link.hasAttribute("target")) return;
    event.preventDefault();
    go(href);
  };
  window.addEventListener("popstate", moved);
  document.addEventListener("click", clicked);
  return () => {
    window.removeEventListener("popstate", moved);
    document.removeEventListener("click", clicked);
  };
}

// "/devices/:id" against a path; null when it does not fit.
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.length > 1 ? path.replace(/\/$/, "").split("/") : path.split("/");
  if (wanted.length !== given.length) return null;
  const parameters: Record<string, string> = {};
  for (let i = 0; i < wanted.length; i++) {
    const part = wanted[i]!;
    if (part.startsWith(":")) {
      try {
        parameters[part.slice(1)] = decodeURIComponent(given[i]!);
      } catch {
        return null;
      }
      if (parameters[part.slice(1)] === "") return null;
    } else if (part !== given[i]) {
      return null;
    }
  }
  return parameters;
}

// The same with other query values, for links that change one thing.
export function withQuery(changes: Record<string, string | string[]>): string {
  const query = new URLSearchParams(location.value.query);
  for (const [key, value] of Object.entries(changes)) {
    query.delete(key);
    for (const one of typeof value === "string" ? [value] : value) if (one) query.append(key, one);
  }
  const text = query.toString();
  return location.value.path + (text ? `?${text}` : "");
}

export const newRolloutHref = (model = "", version = "") => {
  const query = new URLSearchParams({ ...(model && { model }), ...(version && { version }) }).toString();
  return `/rollouts/new${query ? `?${query}` : ""}`;
};
export const deviceHref = (id: string) => `/devices/${encodeURIComponent(id)}`;
export const releaseHref = (model: string, version: string) => `/releases/${encodeURIComponent(model)}/${encodeURIComponent(version)}`;
export const rolloutHref = (id: string) => `/rollouts/${encodeURIComponent(id)}`;

// What the browser's tab and history call this page.
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Ferry`;
  }, [title]);
}
