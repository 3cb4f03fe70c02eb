// Writes dist/licences.txt: the licences of what the built dashboard contains, which ask to be passed on with it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const modules = new URL("../node_modules/", import.meta.url);
const read = (path) => readFileSync(new URL(path, modules), "utf8");
const own = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));

// Everything that is needed at run time, and what that needs.
const names = [];
for (const wanted = Object.keys(own.dependencies); wanted.length > 0; ) {
  const name = wanted.pop();
  if (names.includes(name)) continue;
  names.push(name);
  wanted.push(...Object.keys(JSON.parse(read(`${name}/package.json`)).dependencies ?? {}));
}

const texts = names.sort().map((name) => {
  const { version, license } = JSON.parse(read(`${name}/package.json`));
  const file = readdirSync(new URL(`${name}/`, modules)).find((one) => /^licen[cs]e/i.test(one));
  if (!file) throw new Error(`${name} ${version} (${license}) has no licence file: find its text before shipping it`);
  return `${name} ${version} (${license})\n\n${read(`${name}/${file}`).trim()}\n`;
});
writeFileSync(new URL("../dist/licences.txt", import.meta.url), texts.join(`\n${"-".repeat(80)}\n\n`));
