// Fails the build when the app grows beyond its budget (gzip, UX.md §2.3): the first page, each part that is fetched later, the whole.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const firstPageMax = 45 * 1024;
const laterMax = 10 * 1024; // one screen, or what several share
const wholeAppMax = 120 * 1024;
const dist = new URL("../dist/", import.meta.url);
const size = (name) => gzipSync(readFileSync(new URL(name, dist))).length;

const page = readFileSync(new URL("index.html", dist), "utf8");
const assets = readdirSync(new URL("assets/", dist)).filter((name) => !name.endsWith(".gz")).map((name) => `assets/${name}`);
// What the page itself names is there at once; every other asset is fetched by a screen.
const parts = ["index.html", ...assets].map((name) => ({ name, bytes: size(name), first: name === "index.html" || page.includes(name) }));

const sum = (some) => some.reduce((all, part) => all + part.bytes, 0);
const [first, whole] = [sum(parts.filter((part) => part.first)), sum(parts)];
for (const { name, bytes, first: atOnce } of parts) console.log(`${String(bytes).padStart(7)} B gzip  ${name}${atOnce ? "" : "  (later)"}`);
console.log(`${String(first).padStart(7)} B gzip  first page (limit ${firstPageMax})`);
console.log(`${String(whole).padStart(7)} B gzip  whole app (limit ${wholeAppMax})`);

const tooLarge = parts.filter((part) => !part.first && part.bytes > laterMax).map((part) => `${part.name} is larger than ${laterMax} B`);
if (first > firstPageMax) tooLarge.push("the first page is larger than its budget");
if (whole > wholeAppMax) tooLarge.push("the whole app is larger than its budget");
for (const line of tooLarge) console.error(`error: ${line}`);
process.exit(tooLarge.length > 0 ? 1 : 0);
