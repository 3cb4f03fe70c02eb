import { defineConfig } from "vite";

// No plugin: Vite compiles TSX by itself. The server answers the API; `npm run dev` forwards to a ferryd given by FERRY_SERVER.
export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { proxy: { "/api": { target: process.env["FERRY_SERVER"] ?? "https://127.0.0.1:8443", secure: false } } },
});
