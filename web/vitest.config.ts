import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  server: { fs: { allow: [".."] } }, // tests read docs/formats
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"] },
});
