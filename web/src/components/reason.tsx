// A reason: its words, and the code that CLI, logs and documentation use. Where the server gives a sentence, the sentence.
import { isCode, reasons } from "../state/reasons";

export function Reason({ code }: { code: string }) {
  const words = reasons.get(code);
  return <span class="reason">{isCode(code) ? <code>{code}</code> : code}{words && <span> {words}</span>}</span>;
}
