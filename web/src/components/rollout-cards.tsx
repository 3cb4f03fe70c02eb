// What a rollout's page shows below its state; a gated rollout has its live gate among it.
import type { ComponentChildren } from "preact";
import type { Rollout } from "../api/types";
import { plural } from "../state/format";
import type { Arm } from "../state/gate";
import { Card } from "./card";
import { Empty } from "./notes";
import { devicesIn, RolloutDevices } from "./rollout-devices";
import { RolloutBar } from "./rollout-line";
import { Failures, Phases } from "./rollout-phases";
import { RolloutPolicyFacts } from "./rollout-policy";
import { VerdictLog } from "./verdict-log";

export function RolloutCards({ rollout: r, gate, arms }: { rollout: Rollout; gate?: ComponentChildren; arms: Map<string, Arm> }) {
  return (
    <div class="columns">
      <Card title="Progress" wide><RolloutBar counts={r.devices} what="Devices" hrefOf={devicesIn} /></Card>
      {gate}
      <Card title="Phases"><Phases rollout={r} /></Card>
      <div class="stack">
        <Card title="Failures by reason"><Failures rollout={r} /></Card>
        <Card title="Plan"><RolloutPolicyFacts rollout={r} /></Card>
      </div>
      <Card title="Verdict log" wide><VerdictLog rollout={r} /></Card>
      <Card title="Devices" wide anchor="devices"><RolloutDevices id={r.id} arms={arms} /></Card>
    </div>
  );
}

export function EarlyGate({ rollout: { gate, version, from_version } }: { rollout: Rollout }) {
  return (
    <Card title="Live gate" wide actions={<span class="dim">{plural(gate?.pairs ?? 0, "pair")} of a canary with {version} and a control with {from_version || "the old release"}</span>}>
      <Empty>The gate has not looked yet: no canary has committed.</Empty>
    </Card>
  );
}
