// The frame around every screen: header with navigation and the live mark, and the choice of a screen by path.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Session } from "./api/types";
import { KeysHelp } from "./components/keys-help";
import { LiveMark } from "./components/live-mark";
import { Guard } from "./components/notes";
import { location, match } from "./state/router";
import { session, signOut } from "./state/session";
import { startKeys } from "./state/keys";
import { lazy } from "./state/lazy";
import { startLive } from "./state/live";
import { DevicesScreen } from "./screens/devices";
import { NotFoundScreen } from "./screens/not-found";
import { OverviewScreen } from "./screens/overview";
import { ReleasesScreen } from "./screens/releases";
import { RolloutsScreen } from "./screens/rollouts";
import { SignInScreen } from "./screens/sign-in";

const DeviceScreen = lazy(() => import("./screens/device").then((all) => all.DeviceScreen));
const NewRolloutScreen = lazy(() => import("./screens/new-rollout").then((all) => all.NewRolloutScreen));
const ReleaseScreen = lazy(() => import("./screens/release").then((all) => all.ReleaseScreen));
const RolloutScreen = lazy(() => import("./screens/rollout").then((all) => all.RolloutScreen));
const TelemetryScreen = lazy(() => import("./screens/telemetry").then((all) => all.TelemetryScreen));

const screens: { pattern: string; show: (parameters: Record<string, string>) => ComponentChildren }[] = [
  { pattern: "/", show: () => <OverviewScreen /> },
  { pattern: "/devices", show: () => <DevicesScreen /> },
  { pattern: "/devices/:id", show: (p) => <DeviceScreen id={p["id"]!} /> },
  { pattern: "/releases", show: () => <ReleasesScreen /> },
  { pattern: "/releases/:model/:version", show: (p) => <ReleaseScreen model={p["model"]!} version={p["version"]!} /> },
  { pattern: "/rollouts", show: () => <RolloutsScreen /> },
  { pattern: "/rollouts/new", show: () => <NewRolloutScreen /> },
  { pattern: "/rollouts/:id", show: (p) => <RolloutScreen id={p["id"]!} /> },
  { pattern: "/telemetry", show: () => <TelemetryScreen /> },
];

const navigation = [
  { href: "/", label: "Overview" },
  { href: "/devices", label: "Devices" },
  { href: "/releases", label: "Releases" },
  { href: "/rollouts", label: "Rollouts" },
  { href: "/telemetry", label: "Telemetry" },
];

function current(path: string): ComponentChildren {
  for (const { pattern, show } of screens) {
    const parameters = match(pattern, path);
    if (parameters) return show(parameters);
  }
  return <NotFoundScreen />;
}

function Navigation({ path }: { path: string }) {
  return (
    <nav aria-label="Main">
      {navigation.map(({ href, label }) => {
        const here = href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`);
        return (
          <a key={href} href={href} class="nav-link" aria-current={here ? "page" : undefined}>
            {label}
          </a>
        );
      })}
    </nav>
  );
}

function Frame({ who }: { who: Session }) {
  useEffect(startLive, []);
  useEffect(startKeys, []);
  const path = location.value.path;
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // A new page begins at its start for the keyboard and the screen reader too.
    if (!first.current) main.current?.focus({ preventScroll: true });
    first.current = false;
  }, [path]);
  return (
    <>
      <a class="skip" href="#main">Skip to content</a>
      <header class="bar">
        <div class="bar-inner">
          <a class="brand" href="/"><img src="/icon.svg" alt="" width="24" height="24" /> Ferry</a>
          <Navigation path={path} />
          <span class="spring" />
          <LiveMark />
          <span class="who">{who.name}{who.role !== who.name && <span class="dim"> {who.role}</span>}</span>
          <KeysHelp />
          <button type="button" class="quiet" onClick={() => void signOut()}>Sign out</button>
        </div>
      </header>
      <main id="main" ref={main} tabIndex={-1}><Guard key={path}>{current(path)}</Guard></main>
    </>
  );
}

export function App() {
  if (session.value === undefined) return <p class="loading" role="status">Loading…</p>;
  return session.value ? <Frame who={session.value} /> : <SignInScreen />;
}
