// The address is the state: path and query, nothing else.
import { signal } from "@preact/signals";

export interface Location {
  path: string;
  query: URLSearchParams;
}

const read = (): Location => ({ path: window.location.pathname, query: new URLSearchParams(window.location.search) });

export const location = signal<Location>(read());

export function go(to: string): void {
  window.history.pushState(null, "", to);
  location.value = read();
  window.scrollTo(0, 0);
}

// Changes one query value in place, as filters do; an empty value removes it.
export function setQuery(key: string, value: string): void {
  const query = new URLSearchParams(window.location.search);
  if (value) query.set(key, value);
  else query.delete(key);
  const text = query.toString();
  window.history.replaceState(null, "", window.location.pathname + (text ? `?${text}` : ""));
  location.value = read();
}

export function startRouter(): void {
  window.addEventListener("popstate", () => {
    location.value = read();
  });
  // Ordinary links stay ordinary links: one listener keeps those of this site inside the page.
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    const link = (event.target as Element | null)?.closest?.("a[href]");
    const href = link?.getAttribute("href");
    if (!link || !href?.startsWith("/") || link.hasAttribute("download")) return;
    event.preventDefault();
    go(href);
  });
}

// "/devices/:id" against a path; null when it does not fit.
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
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
    } else if (part !== given[i]) {
      return null;
    }
  }
  return parameters;
}
