import { beforeEach, describe, expect, test } from "vitest";
import { api } from "../../src/api/client";
import { may, resume, session, sessionNote, signIn, signOut, watchSession } from "../../src/state/session";
import * as fixtures from "../fixtures";
import { inTheWorld, server } from "../support";

inTheWorld();
beforeEach(() => {
  sessionNote.value = "";
  watchSession();
});
const denied = { status: 401, body: { code: "denied", title: "Unauthorized", detail: "no valid credential" } };

describe("a session", () => {
  test("that the cookie still carries is taken up", async () => {
    session.value = undefined;
    await resume();
    expect(session.value).toEqual(fixtures.session);
  });
  test("that is not there leads to the sign-in page without a reproach", async () => {
    session.value = undefined;
    server.on("GET /session", denied);
    await resume();
    expect(session.value).toBeNull();
    expect(sessionNote.value).toBe("");
  });
  test("that could not be asked for says why", async () => {
    session.value = undefined;
    server.on("GET /session", { status: 503, body: { detail: "draining" } });
    await resume();
    expect(session.value).toBeNull();
    expect(sessionNote.value).toBe("draining");
  });
  test("begins with a token, whatever white space came along from the terminal", async () => {
    session.value = null;
    server.on("POST /session", (call) => (call.headers["Authorization"] === "Bearer secret" ? { body: fixtures.session } : denied));
    await signIn(" secret\n");
    expect(session.value).toEqual(fixtures.session);
  });
  test("does not begin with a wrong token", async () => {
    session.value = null;
    server.on("POST /session", denied);
    await expect(signIn("wrong")).rejects.toThrow("no valid credential");
    expect(session.value).toBeNull();
  });
  test("that the server has forgotten ends, and says so", async () => {
    server.on("GET /overview", denied);
    await expect(api.get("/overview")).rejects.toThrow();
    expect(session.value).toBeNull();
    expect(sessionNote.value).toContain("session has ended");
  });
  test("ends when one signs out, also when the server is away", async () => {
    server.on("DELETE /session", { status: 503, body: {} });
    await signOut();
    expect(session.value).toBeNull();
  });
});

test.each([["viewer", false, false], ["publisher", false, false], ["operator", true, false], ["admin", true, true], ["", false, false], ["__proto__", false, false]])(
  "the role %s may do an operator's work: %s, an admin's: %s", (role, operator, admin) => {
    session.value = { ...fixtures.session, role };
    expect([may("operator"), may("admin")]).toEqual([operator, admin]);
  });
