// A browser in front of a running server, and the same server's API to compare with. The certificate is checked against the
// server's own CA in Node; the browser then trusts exactly the key that Node saw, because Chromium takes no CA file.
import { createHash, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import https from "node:https";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export class OperatorApi {
  constructor(url, ca, token) {
    Object.assign(this, { url, ca, token });
  }

  // {status, body}; throws when the server is not there.
  request(method, target, body) {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : JSON.stringify(body);
      const headers = { Authorization: `Bearer ${this.token}`, ...(payload && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(payload) }) };
      const request = https.request(new URL(`/api/v1${target}`, this.url), { method, headers, ca: this.ca, agent: false }, (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (piece) => (text += piece));
        answer.on("end", () => resolve({ status: answer.statusCode, body: text ? JSON.parse(text) : undefined }));
      });
      request.on("error", reject);
      request.setTimeout(20_000, () => request.destroy(new Error(`${method} ${target}: no answer in 20 s`)));
      request.end(payload);
    });
  }

  async get(target) {
    const { status, body } = await this.request("GET", target);
    if (status !== 200) throw new Error(`GET ${target} answered ${status}: ${JSON.stringify(body)}`);
    return body;
  }
}

// SHA-256 of the public key of the server's certificate, after Node has verified it against the CA.
function verifiedKey(url, ca) {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: hostname, port: Number(port), servername: hostname, ca }, () => {
      const key = new X509Certificate(socket.getPeerCertificate(true).raw).publicKey.export({ type: "spki", format: "der" });
      socket.end();
      resolve(createHash("sha256").update(key).digest("base64"));
    });
    socket.on("error", reject);
  });
}

// Runs in the page before its own scripts: remembers what the policy refused, what jumped, what the stream said.
function watch() {
  window.seen = { violations: [], shift: 0, hints: [] };
  document.addEventListener("securitypolicyviolation", (event) => window.seen.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.seen.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  // With window.noPolling nothing that repeats runs any more: what changes then was heard on the stream.
  const every = window.setInterval.bind(window);
  window.setInterval = (callback, ms, ...rest) => every(() => window.noPolling || callback(...rest), ms);
  const Native = window.EventSource;
  window.EventSource = class extends Native {
    constructor(url) {
      super(url);
      for (const name of ["overview", "devices", "device", "releases", "rollouts", "rollout"]) this.addEventListener(name, (event) => window.seen.hints.push(event.data));
    }
  };
}

export class Dashboard {
  errors = []; // console errors and uncaught exceptions
  elsewhere = []; // requests to other origins
  violations = [];

  static async open({ url, ca }) {
    const self = new Dashboard();
    self.url = url.replace(/\/$/, "");
    self.profile = mkdtempSync(path.join(tmpdir(), "ferry-browser-"));
    const key = await verifiedKey(url, ca);
    self.context = await chromium.launchPersistentContext(self.profile, {
      executablePath: process.env.FERRY_CHROMIUM ?? "/usr/bin/chromium",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", `--ignore-certificate-errors-spki-list=${key}`],
      viewport: { width: 1280, height: 800 }, colorScheme: "light", reducedMotion: "reduce", timezoneId: "UTC",
    });
    self.context.setDefaultTimeout(15_000);
    await self.context.addInitScript(watch);
    self.context.on("request", (request) => {
      if (!request.url().startsWith(`${self.url}/`) && !request.url().startsWith("data:")) self.elsewhere.push(request.url());
    });
    self.page = self.context.pages()[0] ?? (await self.context.newPage());
    self.page.on("console", (message) => {
      if (message.type() === "error") self.errors.push(`${message.text()} (${message.location().url})`);
    });
    self.page.on("pageerror", (error) => self.errors.push(`uncaught: ${error.message}`));
    return self;
  }

  async close() {
    await this.context?.close();
    rmSync(this.profile, { recursive: true, force: true });
  }

  // Loads an address and waits until nothing on the page waits any more.
  async visit(address) {
    await this.collect();
    await this.page.goto(this.url + address);
    await this.settled();
  }

  async settled() {
    await this.page.waitForFunction(() => document.querySelector("h1") && !document.querySelector(".loading, [aria-busy=true]"));
  }

  // What the page has seen so far, before it is left.
  async collect() {
    const seen = await this.page.evaluate(() => window.seen).catch(() => undefined);
    this.violations.push(...(seen?.violations ?? []));
    return seen;
  }

  text(selector) {
    return this.page.locator(selector).allInnerTexts().then((all) => all.map((one) => one.replace(/\s+/g, " ").trim()));
  }

  // Rows of the table with this caption, each as {column title: text}.
  table(caption) {
    return this.page.evaluate((wanted) => {
      const table = [...document.querySelectorAll("table")].find((one) => one.caption?.textContent === wanted);
      if (!table) throw new Error(`no table "${wanted}" on ${location.pathname}`);
      return [...table.tBodies[0].rows].map((row) => Object.fromEntries([...row.cells].map((cell) => [cell.dataset.title, cell.innerText.replace(/\s+/g, " ").trim()])));
    }, caption);
  }

  // What axe finds, of any weight, as lines; the page's policy does not hold for what DevTools evaluates.
  async axe() {
    await this.page.evaluate(axeSource);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    return violations.flatMap(({ id, impact, nodes }) => nodes.map((node) => `${impact} ${id}: ${node.target.join(" ")} ${node.failureSummary.replace(/\s+/g, " ").slice(0, 200)}`));
  }
}

// Repeats until it no longer throws: what is on the page and what the server says meet, although both move on.
export async function eventually(check, limit_ms = 15_000) {
  const deadline = Date.now() + limit_ms;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
