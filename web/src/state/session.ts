// Who is signed in: undefined while asking, null for nobody.
import { signal } from "@preact/signals";
import { api, ApiError, onUnauthorized } from "../api/client";
import type { Session } from "../api/types";

export const session = signal<Session | null | undefined>(undefined);
// Why the sign-in page is shown, when it is not obvious.
export const sessionNote = signal("");

export function watchSession(): void {
  onUnauthorized(() => {
    if (session.value) sessionNote.value = "Your session has ended. Sign in again to go on where you were.";
    if (session.value !== undefined) session.value = null;
  });
}

export async function resume(): Promise<void> {
  try {
    session.value = await api.get<Session>("/session");
  } catch (error) {
    if (error instanceof ApiError && error.problem.status === 401) sessionNote.value = "";
    else sessionNote.value = error instanceof ApiError ? error.problem.detail : String(error);
    session.value = null;
  }
}

export async function signIn(token: string): Promise<void> {
  session.value = await api.signIn<Session>(token.trim());
  sessionNote.value = "";
}

export async function signOut(): Promise<void> {
  await api.signOut().catch(() => undefined);
  sessionNote.value = "";
  session.value = null;
}

// viewer < operator < admin; a publisher reads like a viewer and writes releases and rollouts only.
const ranks = new Map([["viewer", 0], ["publisher", 0], ["operator", 1], ["admin", 2]]);

export function may(role: "operator" | "admin"): boolean {
  return (ranks.get(session.value?.role ?? "") ?? -1) >= ranks.get(role)!;
}

// Who may create rollouts: publishers (CI) too, who may not steer them.
export const mayCreate = () => ["publisher", "operator", "admin"].includes(session.value?.role ?? "");
