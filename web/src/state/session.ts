// Who is signed in: undefined while asking, null for nobody.
import { signal } from "@preact/signals";
import { api, ApiError } from "../api/client";
import type { Session } from "../api/types";

export const session = signal<Session | null | undefined>(undefined);

export async function resume(): Promise<void> {
  try {
    session.value = await api.get<Session>("/session");
  } catch (error) {
    if (!(error instanceof ApiError) || error.problem.status !== 401) console.warn("session", error);
    session.value = null;
  }
}

export async function signIn(token: string): Promise<void> {
  session.value = await api.signIn<Session>(token.trim());
}

export async function signOut(): Promise<void> {
  await api.signOut().catch(() => undefined);
  session.value = null;
}
