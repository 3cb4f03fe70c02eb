// Fails the build when the app grows beyond its budget (gzip, UX.md §2.3).
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const wholeAppMax = 120 * 1024;
const firstScreenMax = 45 * 1024;
const folder = new URL("../dist/assets/", import.meta.url);

let whole = gzipSync(readFileSync(new URL("../dist/index.html", import.meta.url))).length;
for (const name of readdirSync(folder)) {
  if (name.endsWith(".gz")) continue;
  const bytes = gzipSync(readFileSync(new URL(name, folder))).length;
  whole += bytes;
  console.log(`${String(bytes).padStart(7)} B gzip  ${name}`);
}
console.log(`${String(whole).padStart(7)} B gzip  whole app, one bundle: also the first screen (limits ${firstScreenMax} and ${wholeAppMax})`);
if (whole > Math.min(wholeAppMax, firstScreenMax)) {
  console.error("error: the dashboard is larger than its budget");
  process.exit(1);
}
