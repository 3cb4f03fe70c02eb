// Measures the ONNX files as written, in ONNX Runtime: correct answers on the 10,000 test images, clean, in haze
// ("field") and at dusk, and the latency of single clean images on one thread. Writes models/accuracy.json; latencies
// are only printed.
//
//   node evaluate.mjs <folder with node_modules/onnxruntime-node>
//   node evaluate.mjs <folder> --probe models/1.3.0/fp32.onnx     one image in each condition: time and peak memory

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";

const DATA = "/usr/share/datasets/fashion-mnist";
const HERE = import.meta.dirname;
const MODELS = join(HERE, "models");
const VARIANTS = ["fp32", "int8"];
const SIDE = 28;
const PIXELS = SIDE * SIDE;
const CLASSES = 10;
const BATCH = 500;
const WARM_UP = 200;
const TIMED = 2000;
const PROBED = 5;

function read(name, header) {
  return gunzipSync(readFileSync(join(DATA, name))).subarray(header);
}

// The same images as a camera sees them in a field condition. field.py holds the only copy of the formulas; ask it for
// all 256 values.
function seen(images, condition) {
  const program = `import sys, field; sys.stdout.buffer.write(field.${condition}(bytes(range(256))))`;
  const table = execFileSync("/usr/bin/python3", ["-B", "-c", program], { cwd: HERE });
  return images.map((pixel) => table[pixel]);
}

function toTensor(ort, pixels) {
  const values = Float32Array.from(pixels, (pixel) => pixel / 255);
  return new ort.Tensor("float32", values, [pixels.length / PIXELS, 1, SIDE, SIDE]);
}

async function open(ort, path) {
  return ort.InferenceSession.create(path, { intraOpNumThreads: 1, interOpNumThreads: 1 });
}

function largest(values) {
  return values.indexOf(Math.max(...values));
}

async function countCorrect(ort, session, images, labels) {
  let correct = 0;
  for (let first = 0; first < labels.length; first += BATCH) {
    const batch = images.subarray(first * PIXELS, (first + BATCH) * PIXELS);
    const { logits } = await session.run({ image: toTensor(ort, batch) });
    for (let row = 0; row * CLASSES < logits.data.length; row++) {
      const answer = largest(logits.data.subarray(row * CLASSES, (row + 1) * CLASSES));
      correct += answer === labels[first + row] ? 1 : 0;
    }
  }
  return correct;
}

async function medianMicroseconds(ort, session, images) {
  const times = [];
  for (let run = 0; run < WARM_UP + TIMED; run++) {
    const image = toTensor(ort, images.subarray(run * PIXELS, (run + 1) * PIXELS));
    const start = process.hrtime.bigint();
    await session.run({ image });
    times.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  return times.slice(WARM_UP).sort((a, b) => a - b)[TIMED / 2];
}

async function measureAll(ort, conditions, labels) {
  const accuracy = { images: labels.length, releases: {} };
  const folders = readdirSync(MODELS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const version of folders.map((entry) => entry.name).sort()) {
    accuracy.releases[version] = {};
    for (const variant of VARIANTS) {
      const session = await open(ort, join(MODELS, version, `${variant}.onnx`));
      const latency = await medianMicroseconds(ort, session, conditions.clean);
      const correct = {};
      for (const [name, images] of Object.entries(conditions)) {
        correct[name] = await countCorrect(ort, session, images, labels);
      }
      accuracy.releases[version][variant] = correct;
      const counts = Object.entries(correct).map(([name, count]) => `${name} ${count}`);
      console.log(`${version} ${variant}: ${counts.join(", ")}, p50 ${latency.toFixed(0)} us`);
      await session.release();
    }
  }
  writeFileSync(join(MODELS, "accuracy.json"), JSON.stringify(accuracy, null, 2) + "\n");
}

async function probe(ort, path, conditions) {
  const session = await open(ort, path);
  for (const [name, images] of Object.entries(conditions)) {
    const image = toTensor(ort, images.subarray(0, PIXELS));
    const times = [];
    let answer;
    for (let run = 0; run <= PROBED; run++) {
      const start = process.hrtime.bigint();
      const { logits } = await session.run({ image });
      answer = largest(logits.data);
      if (run > 0) times.push(Number(process.hrtime.bigint() - start) / 1e6); // the first one warms up
    }
    const middle = times.sort((a, b) => a - b)[Math.floor(PROBED / 2)];
    const peak = Math.round(process.resourceUsage().maxRSS / 1024);
    console.log(`${name}: class ${answer}, ${middle.toFixed(2)} ms, peak memory so far ${peak} MiB`);
  }
}

async function main() {
  const [folder, option, path] = process.argv.slice(2);
  if (folder === undefined || (option !== undefined && (option !== "--probe" || path === undefined))) {
    console.error("usage: node evaluate.mjs <folder with node_modules/onnxruntime-node> [--probe <file.onnx>]");
    process.exit(2);
  }
  const ort = createRequire(join(resolve(folder), "package.json"))("onnxruntime-node");
  const labels = read("t10k-labels-idx1-ubyte.gz", 8);
  const clean = read("t10k-images-idx3-ubyte.gz", 16);
  const conditions = { clean, dusk: seen(clean, "to_dusk"), field: seen(clean, "to_field") };
  if (option === "--probe") {
    await probe(ort, path, conditions);
  } else {
    await measureAll(ort, conditions, labels);
  }
}

await main();
