// A reason: its words, and the code that CLI, logs and documentation use.
import { reasons } from "../state/reasons";

export function Reason({ code }: { code: string }) {
  const words = reasons.get(code);
  return <span class="reason"><code>{code}</code>{words && <span> {words}</span>}</span>;
}
