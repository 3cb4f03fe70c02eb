import { useState } from "preact/hooks";
import { problemOf } from "../api/client";
import type { Problem } from "../api/types";
import { ProblemNote } from "../components/notes";
import { useTitle } from "../state/router";
import { sessionNote, signIn } from "../state/session";

export function SignInScreen() {
  useTitle("Sign in");
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const submit = async (event: Event) => {
    event.preventDefault();
    if (busy || token.trim() === "") return;
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(token);
    } catch (error) {
      const known = problemOf(error);
      setProblem(known.status === 401 ? { ...known, title: "Not accepted", detail: "This token is not known, or has expired." } : known);
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>Sign in to Ferry</h1>
      {sessionNote.value && <p class="note note-warn" role="status">{sessionNote.value}</p>}
      <form onSubmit={(event) => void submit(event)}>
        <label for="token">Access token</label>
        <input id="token" type="password" autocomplete="current-password" required value={token} aria-describedby="token-help"
          onInput={(event) => setToken((event.target as HTMLInputElement).value)} />
        <p id="token-help" class="dim">The first one is in <code>admin.token</code> in the server's data folder.</p>
        {problem && <ProblemNote problem={problem} />}
        <button type="submit" class="primary" disabled={busy || token.trim() === ""}>{busy ? "Signing in…" : "Sign in"}</button>
      </form>
    </main>
  );
}
