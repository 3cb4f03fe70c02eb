// Requests to the operator API with the session cookie. Errors are Problem values (RFC 9457).
import type { Problem } from "./types";

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

// What went wrong as a Problem, also when it was no answer of the server.
export function problemOf(error: unknown): Problem {
  return error instanceof ApiError ? error.problem : { status: 0, code: "bug", title: "This page made a mistake", detail: String(error) };
}

async function failure(response: Response): Promise<ApiError> {
  const fallback: Problem = { status: response.status, code: "unknown", title: response.statusText, detail: `The server answered ${response.status}.` };
  try {
    const body: unknown = await response.json();
    if (typeof body !== "object" || body === null || Array.isArray(body)) return new ApiError(fallback);
    const problem: Problem = { ...fallback };
    for (const key of ["code", "title", "detail", "reason"] as const) {
      const value = (body as Record<string, unknown>)[key];
      if (typeof value === "string" && value !== "") problem[key] = value;
    }
    return new ApiError(problem);
  } catch {
    return new ApiError(fallback);
  }
}

// Called when the server no longer knows who is asking.
let unauthorized: () => void = () => undefined;
export function onUnauthorized(handler: () => void): void {
  unauthorized = handler;
}

interface Options {
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

async function request<T>(method: string, path: string, body?: unknown, { headers = {}, signal }: Options = {}): Promise<T> {
  const all: Record<string, string> = { Accept: "application/json", ...headers };
  if (method !== "GET") all["Ferry-CSRF"] = "1";
  if (body !== undefined) all["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers: all, credentials: "same-origin" };
  if (body !== undefined) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, init);
  } catch {
    throw new ApiError({ status: 0, code: "unreachable", title: "Unreachable", detail: "The server cannot be reached." });
  }
  if (!response.ok) {
    if (response.status === 401) unauthorized();
    throw await failure(response);
  }
  if (response.status === 204) return undefined as T;
  try {
    return (await response.json()) as T;
  } catch {
    throw new ApiError({ status: response.status, code: "unreadable", title: "Unreadable answer", detail: "The server's answer broke off or is not JSON." });
  }
}

export const api = {
  get: <T>(path: string, signal?: AbortSignal) => request<T>("GET", path, undefined, signal ? { signal } : {}),
  post: <T>(path: string, body: unknown, headers: Record<string, string> = {}) => request<T>("POST", path, body, { headers }),
  patch: <T>(path: string, body: unknown) => request<T>("PATCH", path, body),
  signIn: <T>(token: string) => request<T>("POST", "/session", {}, { headers: { Authorization: `Bearer ${token}` } }),
  signOut: () => request<void>("DELETE", "/session"),
};
