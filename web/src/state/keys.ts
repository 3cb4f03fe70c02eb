// Keys for those who do not want the mouse: "g" and a letter go to a screen, "/" searches, "?" shows them. They can be
// switched off (WCAG 2.1.4), and never fire while something is typed or asked.
import { signal } from "@preact/signals";
import { go } from "./router";

export const screensByKey = new Map([["o", "/"], ["d", "/devices"], ["r", "/releases"], ["t", "/rollouts"], ["m", "/telemetry"]]);
export const chordMs = 1_200;
const offKey = "ferry.keys";

function stored(): string | null {
  try {
    return localStorage.getItem(offKey);
  } catch {
    return null; // storage can be forbidden
  }
}

export const keysOn = signal(stored() !== "off");
export const keysHelp = signal(false);

export function setKeysOn(on: boolean): void {
  keysOn.value = on;
  try {
    localStorage.setItem(offKey, on ? "on" : "off");
  } catch {
    // It then holds for this page only.
  }
}

const typing = (target: EventTarget | null) => target instanceof Element && target.closest("input, textarea, select, dialog, [contenteditable]") !== null;

export function startKeys(): () => void {
  let chordUntil = 0;
  const pressed = (event: KeyboardEvent) => {
    if (!keysOn.value || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
    const inChord = Date.now() < chordUntil;
    chordUntil = 0;
    if (inChord) {
      const path = screensByKey.get(event.key);
      if (!path) return;
      event.preventDefault();
      go(path);
    } else if (event.key === "g") {
      chordUntil = Date.now() + chordMs;
    } else if (event.key === "?") {
      event.preventDefault();
      keysHelp.value = true;
    } else if (event.key === "/") {
      const search = document.querySelector<HTMLInputElement>("input[type=search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    }
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}
