// The drift of a model on the telemetry page: what it means for a rollout, one cohort's windows, and when it is read again.
import { describe, expect, test } from "vitest";
import { DriftCard } from "../../src/components/drift-card";
import { coalesceMs, heard } from "../../src/state/live";
import * as fixtures from "../fixtures";
import { button, click, column, hrefs, inTheWorld, passes, server, settle, show, text, visit } from "../support";

inTheWorld({ timers: true });

const card = (window_s = 3_600) => show(<DriftCard model="fashion-mnist" window_s={window_s} />);
const table = `Windows of 1.4.0 on ${fixtures.hardwareClass}`;

describe("drift", () => {
  test("is asked for the time that is shown, in one question that does not move", async () => {
    await card(86_400);
    expect(server.asked("GET", "/drift").map((call) => call.path)).toEqual([`/drift?model=fashion-mnist&since_ms=${fixtures.now - 86_400_000}`]);
    await passes(31_000);
    expect(new Set(server.asked("GET", "/drift").map((call) => call.path)).size).toBe(1);
    expect(server.asked("GET", "/drift")).toHaveLength(2);
  });
  test("is read again when a window closed, and not when a device changed", async () => {
    await card();
    heard({ topic: "devices", kind: "changed", id: "dev-1" });
    await passes(coalesceMs);
    expect(server.asked("GET", "/drift")).toHaveLength(1);
    heard({ topic: "drift", kind: "changed", id: "fashion-mnist" });
    await passes(coalesceMs);
    expect(server.asked("GET", "/drift")).toHaveLength(2);
  });
  test("that the world changed is said with what it means, and leads to the rollout", async () => {
    const note = (await card()).querySelector(".note-warn")!;
    expect(text(note)).toContain("The world changed. The inputs moved on devices with 1.4.1 and on those that kept 1.4.0 alike: nothing against the release, but what CI measured may no longer hold.");
    expect(text(note)).toContain("(canary and control drift alike: total variation 0.31 and 0.29)");
    expect(hrefs(note)).toEqual(["/rollouts/ro-9a01"]);
  });
  test.each([["model", "Only the canaries drift."], ["none", undefined], ["not_enough", undefined]])("of the cause %s says %s", async (cause, words) => {
    server.answers["/drift"] = { ...fixtures.drift, rollouts: [{ ...fixtures.drift.rollouts[0]!, cause, reason: cause === "model" ? "drift.canaries" : "" }] };
    const note = (await card()).querySelector(".note");
    if (words) expect(text(note)).toContain(words);
    else expect(note).toBeNull();
  });
  test("of one cohort lists its windows with every number, and the address says which", async () => {
    visit("/telemetry?window=3600&cohort=dc-1");
    const page = await card();
    expect(column(page, table, "Level").slice(0, 2)).toEqual(["critical", "warn"]);
    expect(column(page, table, "Evidence, alarm at 1,000").slice(0, 1)).toEqual(["5,301 alarm"]);
    expect(column(page, table, "Total variation")[0]).toBe("classes 0.31, confidence 0.15");
    expect(column(page, table, "Estimated accuracy")[0]).toBe("79.3 % of 87.1 %");
    expect(column(page, table, "Labels right / wrong").slice(0, 2)).toEqual(["12 / 20", "–"]);
    expect(column(page, table, "Also failing")[0]).toBe("accuracy");
    expect(text(page)).toContain("The window that is filling has 130 of 200 predictions from 4 devices. Compared with 10,000 predictions of the CI gate. 3 alarms so far.");
    expect(text(page)).toContain("The newest 10 of 12 windows in this time; 412 ever.");
    await click(button(page, "Close windows"));
    expect(window.location.search).toBe("?window=3600");
    await click(page.querySelector<HTMLElement>("[role=row]:nth-child(2) .heat")!);
    expect(window.location.search).toBe("?window=3600&cohort=dc-2");
    expect(text(page)).toContain("No window is filling. Compared with 10,000 predictions of the CI gate. No alarm so far.");
    visit("/telemetry?cohort=dc-gone");
    await settle();
    expect(page.querySelector("table")).toBeNull();
  });
  test("of a cohort without a closed window says so", async () => {
    visit("/telemetry?cohort=dc-1");
    server.answers["/drift"] = { ...fixtures.drift, cohorts: [{ ...fixtures.drift.cohorts[0]!, windows: [] }] };
    expect(text(await card())).toContain("No window has closed in this time.");
  });
  test("of a model without a reference says so", async () => {
    server.answers["/drift"] = { ...fixtures.drift, cohorts: [], rollouts: [] };
    expect(text(await card())).toContain("No release of this model has a reference profile and devices that run it.");
  });
});
