import { expect, test } from "vitest";
import { lazy } from "../../src/state/lazy";
import { inTheWorld, settle, show, text } from "../support";

inTheWorld();

const Screen = ({ name }: { name: string }) => <h1>{name}</h1>;

test("a screen says that it waits, then shows itself, and is there at once the next time", async () => {
  let arrives: (screen: typeof Screen) => void = () => undefined;
  let asked = 0;
  const Later = lazy(() => {
    asked++;
    return new Promise<typeof Screen>((resolve) => (arrives = resolve));
  });
  const page = await show(<Later name="Telemetry" />);
  expect(text(page.querySelector("[role=status].loading"))).toBe("Loading…");
  arrives(Screen);
  await settle();
  expect(text(page.querySelector("h1"))).toBe("Telemetry");
  expect(text(await show(<Later name="again" />))).toBe("again");
  expect(asked).toBe(1);
});

test("a screen that cannot be fetched says why and how to go on, under one heading", async () => {
  const Missing = lazy<{ name: string }>(() => Promise.reject(new TypeError("Failed to fetch dynamically imported module")));
  const page = await show(<Missing name="x" />);
  expect(page.querySelectorAll("h1")).toHaveLength(1);
  expect(text(page.querySelector("[role=alert]"))).toContain("A part of the dashboard could not be fetched. The server cannot be reached, or was upgraded since this page was opened: reload it.");
  expect(text(page.querySelector("[role=alert] button"))).toBe("Try again");
});

test("a part of a page brings no second heading", async () => {
  const Missing = lazy<{ name: string }>(() => Promise.reject(new Error()), { part: true });
  const page = await show(<div><h1>Rollout</h1><Missing name="x" /></div>);
  expect(page.querySelectorAll("h1")).toHaveLength(1);
  expect(page.querySelector("[role=alert]")).not.toBeNull();
});
