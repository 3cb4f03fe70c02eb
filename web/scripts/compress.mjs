// Writes NAME.gz beside what the server would otherwise send whole (server/static_files.cpp takes it for browsers that accept it).
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const dist = new URL("../dist/", import.meta.url);
for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(html|js|css|svg|txt)$/.test(name)) continue;
  const bytes = readFileSync(new URL(name, dist));
  const packed = gzipSync(bytes, { level: 9 });
  if (packed.length < bytes.length) writeFileSync(new URL(`${name}.gz`, dist), packed);
}
