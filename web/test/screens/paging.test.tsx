// Lists longer than a page: next and previous are links, and the address says which page it is.
import { describe, expect, test } from "vitest";
import { DevicesScreen } from "../../src/screens/devices";
import { ReleasesScreen } from "../../src/screens/releases";
import { RolloutScreen } from "../../src/screens/rollout";
import { RolloutsScreen } from "../../src/screens/rollouts";
import { startRouter } from "../../src/state/router";
import * as fixtures from "../fixtures";
import { click, column, inTheWorld, passes, server, settle, show, text, type, visit } from "../support";

inTheWorld({ timers: true });

const link = (page: Element, name: string) => [...page.querySelectorAll<HTMLAnchorElement>(".pager a")].find((a) => text(a) === name);
const links = (page: Element) => [...page.querySelectorAll(".pager a")].map(text);

// Three pages, which the server keeps apart by cursor.
function threePages(path: string, items: unknown[][]): void {
  server.on(`GET ${path}`, (call) => {
    const cursor = new URLSearchParams(call.path.split("?")[1]).get("cursor") ?? "";
    const at = cursor ? Number(cursor.slice(1)) : 0;
    return { body: fixtures.list(items[at] ?? [], at < items.length - 1 ? `p${at + 1}` : "") };
  });
}

describe.each([
  ["/devices", <DevicesScreen />, "Devices", "Device", fixtures.devices.items.slice(0, 3).map((one) => [one]), (i: number) => fixtures.devices.items[i]!.id],
  ["/releases", <ReleasesScreen />, "Releases", "Release", fixtures.releases.items.slice(0, 3).map((one) => [one]), (i: number) => `fashion-mnist ${fixtures.releases.items[i]!.version}`],
  ["/rollouts", <RolloutsScreen />, "Rollouts", "Release", fixtures.rollouts.items.slice(0, 3).map((one) => [one]), (i: number) => `fashion-mnist ${fixtures.rollouts.items[i]!.version}`],
] as const)("%s", (path, node, caption, title, items, name) => {
  test("goes forth and back, page by page, with an address for each", async () => {
    const stop = startRouter();
    threePages(path, items as unknown as unknown[][]);
    visit(path);
    const page = await show(node);
    expect([column(page, caption, title), links(page)]).toEqual([[name(0)], ["Next page"]]);
    await click(link(page, "Next page")!);
    await click(link(page, "Next page")!);
    expect([column(page, caption, title), links(page), window.location.search]).toEqual([[name(2)], ["Previous page", "First page"], "?before=p1&cursor=p2"]);
    expect(text(page.querySelector(".pager [aria-current=page]"))).toBe("Page 3");
    await click(link(page, "Previous page")!);
    expect(column(page, caption, title)).toEqual([name(1)]);
    await click(link(page, "Previous page")!);
    expect([column(page, caption, title), window.location.search]).toEqual([[name(0)], ""]);
    stop();
  });
  test("opens at the page that the address names", async () => {
    threePages(path, items as unknown as unknown[][]);
    visit(`${path}?before=p1&cursor=p2`);
    expect(column(await show(node), caption, title)).toEqual([name(2)]);
  });
  test("that has become shorter says so and leads back", async () => {
    threePages(path, [[items[0]![0]]]);
    visit(`${path}?cursor=p9`);
    const page = await show(node);
    expect(text(page.querySelector(".pager"))).toContain("Page 2: nothing here any more");
    expect(link(page, "Previous page")!.getAttribute("href")).toBe(path);
  });
  test("on one page has no pager", async () => expect((await show(node)).querySelector(".pager")).toBeNull());
});

test("a filter begins at the first page", async () => {
  visit("/devices?cursor=dev-5&before=dev-3");
  const page = await show(<DevicesScreen />);
  await type(page.querySelector<HTMLSelectElement>("#state")!, "attention");
  expect(window.location.search).toBe("?state=attention");
  visit("/devices?cursor=dev-5");
  await settle();
  await type(page.querySelector<HTMLInputElement>("#q")!, "oslo");
  await passes(300);
  expect(window.location.search).toBe("?q=oslo");
});

test("rollouts are filtered by their state in the address, also by one it does not know", async () => {
  visit("/rollouts?state=awaiting_approval");
  const page = await show(<RolloutsScreen />);
  expect(server.asked("GET", "/rollouts")[0]!.path).toBe("/rollouts?limit=100&state=awaiting_approval");
  expect([page.querySelector<HTMLSelectElement>("#state")!.value, text(page.querySelector("#state option[value=awaiting_approval]"))]).toEqual(["awaiting_approval", "awaiting approval"]);
  visit("/rollouts?state=odd");
  await settle();
  expect(page.querySelector<HTMLSelectElement>("#state")!.value).toBe("odd");
});

test("the devices of a rollout have their own pages and their own filter", async () => {
  threePages("/rollouts/ro-7d1e/devices", fixtures.rolloutDevices.items.slice(0, 3).map((one) => [one]));
  visit("/rollouts/ro-7d1e?device_cursor=p1");
  const page = await show(<RolloutScreen id="ro-7d1e" />);
  expect(column(page, "Devices of this rollout", "State")).toEqual(["trial"]);
  expect(link(page, "Next page")!.getAttribute("href")).toBe("/rollouts/ro-7d1e?device_before=p1&device_cursor=p2#devices");
  await type(page.querySelector<HTMLSelectElement>("#device-state")!, "rolled_back");
  expect(window.location.search).toBe("?state=rolled_back");
  expect(server.asked("GET", "/rollouts/ro-7d1e/devices").at(-1)!.path).toBe("/rollouts/ro-7d1e/devices?limit=25&state=rolled_back");
});
