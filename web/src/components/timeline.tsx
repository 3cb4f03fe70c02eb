import type { TimelineItem } from "../api/types";
import { Status } from "./status";
import { When } from "./when";

export function messageOf(item: TimelineItem): string {
  const message = item.detail?.["message"];
  return typeof message === "string" ? message : "";
}

export function Timeline({ items, withDevice }: { items: TimelineItem[]; withDevice?: boolean }) {
  return (
    <ol class="timeline">
      {items.map((item) => (
        <li key={`${item.device ?? ""}-${item.id}`}>
          <span class="timeline-when"><When ms={item.at_ms} /></span>
          <Status state={item.state || item.kind} />
          <span>
            {withDevice && item.device && <a href={`/devices/${encodeURIComponent(item.device)}`}>{item.device}</a>}{" "}
            {item.version && <a href={`/releases/${encodeURIComponent(item.model ?? "")}/${encodeURIComponent(item.version)}`}>{item.model} {item.version}</a>}{" "}
            {item.variant && <span class="dim">{item.variant} in slot {item.slot}</span>} {item.reason && <code>{item.reason}</code>}{" "}
            <span class="dim">{messageOf(item)}</span>
          </span>
        </li>
      ))}
    </ol>
  );
}
