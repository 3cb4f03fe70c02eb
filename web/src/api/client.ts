// Requests to the operator API with the session cookie. Errors are Problem values (RFC 9457).
import type { Problem } from "./types";

export class ApiError extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

async function failure(response: Response): Promise<ApiError> {
  const fallback: Problem = { status: response.status, code: "unknown", title: response.statusText, detail: `The server answered ${response.status}.` };
  try {
    return new ApiError({ ...fallback, ...((await response.json()) as Partial<Problem>), status: response.status });
  } catch {
    return new ApiError(fallback);
  }
}

async function request<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
  const all: Record<string, string> = { Accept: "application/json", ...headers };
  if (method !== "GET") all["Ferry-CSRF"] = "1";
  if (body !== undefined) all["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers: all, credentials: "same-origin" };
  if (body !== undefined) init.body = JSON.stringify(body);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, init);
  } catch {
    throw new ApiError({ status: 0, code: "unreachable", title: "Unreachable", detail: "The server cannot be reached." });
  }
  if (!response.ok) throw await failure(response);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

export const api = {
  get: <T>(path: string) => request<T>("GET", path),
  post: <T>(path: string, body: unknown, headers?: Record<string, string>) => request<T>("POST", path, body, headers),
  signIn: <T>(token: string) => request<T>("POST", "/session", {}, { Authorization: `Bearer ${token}` }),
  signOut: () => request<void>("DELETE", "/session"),
};
