import { beforeEach, describe, expect, test, vi } from "vitest";
import { api, ApiError, onUnauthorized, problemOf } from "../../src/api/client";

type Sent = { url: string; init: RequestInit & { headers: Record<string, string> } };
let sent: Sent[];

function answers(status: number, body: unknown, { broken = false } = {}): void {
  vi.stubGlobal("fetch", async (url: string, init: Sent["init"]) => {
    sent.push({ url, init });
    return { ok: status < 400, status, statusText: "Some Status", json: async () => (broken ? JSON.parse("{") : body) };
  });
}

const problemFrom = async (call: Promise<unknown>) => {
  const error = await call.then(() => undefined, (reason: unknown) => reason);
  expect(error).toBeInstanceOf(ApiError);
  return (error as ApiError).problem;
};

beforeEach(() => {
  sent = [];
  onUnauthorized(() => undefined);
});

describe("requests", () => {
  test("reading sends the session cookie and nothing that says write", async () => {
    answers(200, { a: 1 });
    expect(await api.get("/overview")).toEqual({ a: 1 });
    expect(sent[0]!.url).toBe("/api/v1/overview");
    expect(sent[0]!.init).toMatchObject({ method: "GET", credentials: "same-origin" });
    expect(sent[0]!.init.headers).toEqual({ Accept: "application/json" });
    expect(sent[0]!.init.body).toBeUndefined();
  });
  test.each([["POST", () => api.post("/x", { a: 1 })], ["PATCH", () => api.patch("/x", { a: 1 })]])("%s carries the header that another site cannot send", async (method, call) => {
    answers(200, {});
    await call();
    expect(sent[0]!.init.method).toBe(method);
    expect(sent[0]!.init.headers).toMatchObject({ "Ferry-CSRF": "1", "Content-Type": "application/json" });
    expect(sent[0]!.init.body).toBe('{"a":1}');
  });
  test("signing out is a write too, and has no answer to read", async () => {
    answers(204, undefined, { broken: true });
    expect(await api.signOut()).toBeUndefined();
    expect(sent[0]!.init).toMatchObject({ method: "DELETE", headers: { "Ferry-CSRF": "1" } });
  });
  test("the token goes into a header, once, never into the address", async () => {
    answers(200, {});
    await api.signIn("se cret");
    expect(sent[0]!.init.headers["Authorization"]).toBe("Bearer se cret");
    expect(sent[0]!.url).toBe("/api/v1/session");
    await api.get("/overview");
    expect(sent[1]!.init.headers).not.toHaveProperty("Authorization");
  });
  test("a condition is passed on", async () => {
    answers(200, {});
    await api.post("/rollouts/ro-1:pause", {}, { "If-Match": '"5"' });
    expect(sent[0]!.init.headers["If-Match"]).toBe('"5"');
  });
});

describe("errors", () => {
  test("problem+json becomes a problem with its code and reason", async () => {
    answers(409, { type: "about:blank", title: "Conflict", status: 409, detail: "model: one is running", code: "rollout_active", reason: "rollout.failures" });
    expect(await problemFrom(api.get("/x"))).toEqual({ status: 409, title: "Conflict", detail: "model: one is running", code: "rollout_active", reason: "rollout.failures" });
  });
  test("the status line wins over what the body claims", async () => {
    answers(500, { status: 200, title: "fine" });
    expect((await problemFrom(api.get("/x"))).status).toBe(500);
  });
  test.each([["a page of a proxy", undefined, true], ["null", null, false], ["a list", ["x"], false], ["members of another type", { title: 7, detail: { a: 1 }, code: null }, false], ["empty words", { title: "", detail: "" }, false]])(
    "%s instead of a problem still says what is known", async (_, body, broken) => {
      answers(502, body, { broken });
      expect(await problemFrom(api.get("/x"))).toEqual({ status: 502, code: "unknown", title: "Some Status", detail: "The server answered 502." });
    });
  test("a server that is away is unreachable", async () => {
    vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
    expect(await problemFrom(api.get("/x"))).toMatchObject({ status: 0, code: "unreachable" });
  });
  test("an answer that breaks off is not a value", async () => {
    answers(200, undefined, { broken: true });
    expect(await problemFrom(api.get("/x"))).toMatchObject({ status: 200, code: "unreadable" });
  });
  test("401 is told to whoever keeps the session; 403 is not", async () => {
    const told = vi.fn();
    onUnauthorized(told);
    answers(403, { title: "Forbidden" });
    await problemFrom(api.get("/x"));
    expect(told).not.toHaveBeenCalled();
    answers(401, { title: "Unauthorized" });
    await problemFrom(api.get("/x"));
    expect(told).toHaveBeenCalledOnce();
  });
  test("what is no answer of the server is still shown as a problem", () => {
    expect(problemOf(new RangeError("x"))).toMatchObject({ status: 0, code: "bug", detail: "RangeError: x" });
    expect(problemOf(new ApiError({ status: 404, code: "not_found", title: "t", detail: "d" })).code).toBe("not_found");
  });
});
