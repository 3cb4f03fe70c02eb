#!/usr/bin/env node
// The README's pictures, 1280 pixels wide, of the server that pictures.py leaves with a finished fleet story.
//
//   pictures.mjs --url URL --ca CA.pem --token FILE --gated RO --plan "model=…&version=…" --folder docs/images
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { Dashboard } from "./session.mjs";

const { values: flags } = parseArgs({ options: Object.fromEntries(["url", "ca", "token", "gated", "plan", "folder"].map((name) => [name, { type: "string" }])) });
mkdirSync(flags.folder, { recursive: true });
const dashboard = await Dashboard.open({ url: flags.url, ca: readFileSync(flags.ca) });
const { page } = dashboard;

async function picture(name, height) {
  await page.setViewportSize({ width: 1280, height });
  await dashboard.settled();
  await page.screenshot({ path: path.join(flags.folder, `${name}.png`) });
}

try {
  await dashboard.visit("/");
  await page.getByLabel("Access token").fill(readFileSync(flags.token, "utf8").trim());
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.getByText("Live", { exact: true }).waitFor();

  await dashboard.visit(`/rollouts/${flags.gated}`);
  await page.locator(".pair circle").first().waitFor();
  await picture("live-gate", 1180);

  await dashboard.visit(`/rollouts/new?${flags.plan}`);
  await page.getByRole("button", { name: "Create rollout", exact: true }).click();
  await page.getByRole("dialog", { name: "Create this rollout?" }).waitFor();
  await page.evaluate(() => window.scrollTo(0, 0));
  await picture("new-rollout", 860);
} finally {
  await dashboard.close();
}
