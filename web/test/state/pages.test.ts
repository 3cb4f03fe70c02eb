import { beforeEach, expect, test } from "vitest";
import { pagesOf, trailMax } from "../../src/state/pages";
import { location } from "../../src/state/router";
import { visit } from "../support";

beforeEach(() => visit("/devices?q=oslo"));
const now = (...list: string[]) => pagesOf(location.value.query, ...list);

// Follows the links as a person does.
const follow = (address: string | undefined) => visit(address!);

test("the first page has no cursor, no previous, and a next one as long as there is more", () => {
  expect([now().number, now().query, now().previous, now().next("")]).toEqual([1, "", undefined, undefined]);
  expect(now().next("dev-1")).toBe("/devices?q=oslo&cursor=dev-1");
});

test("next and previous lead through the same pages, and the address alone says which", () => {
  const cursors = ["dev-1", "dev-2", "dev 3&=?"];
  for (const cursor of cursors) follow(now().next(cursor));
  expect([now().number, now().query]).toEqual([4, "&cursor=dev%203%26%3D%3F"]);
  expect(now().first).toBe("/devices?q=oslo");
  const back = [];
  while (now().previous) {
    follow(now().previous);
    back.push([now().number, now().query]);
  }
  expect(back).toEqual([[3, "&cursor=dev-2"], [2, "&cursor=dev-1"], [1, ""]]);
  expect(window.location.search).toBe("?q=oslo");
});

test("a link to a page without its trail still leads to the first", () => {
  visit("/devices?cursor=dev-9");
  expect([now().number, now().previous]).toEqual([2, "/devices"]);
});

test("two lists of one screen have their own pages, and come back to where the list stands", () => {
  follow(now("device_", "devices").next("40"));
  expect(window.location.search).toBe("?q=oslo&device_cursor=40");
  expect([now("device_").number, now().number]).toEqual([2, 1]);
  expect(now("device_", "devices").previous).toBe("/devices?q=oslo#devices");
});

test("the trail has an end", () => {
  for (let i = 0; i < trailMax + 5; i++) follow(now().next(`c${i}`));
  expect(location.value.query.getAll("before")).toHaveLength(trailMax);
});
