import { useState } from "preact/hooks";
import { ApiError } from "../api/client";
import type { Problem } from "../api/types";
import { ProblemNote } from "../components/notes";
import { signIn } from "../state/session";

export function SignInScreen() {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await signIn(token);
    } catch (error) {
      setProblem(error instanceof ApiError ? error.problem : { status: 0, code: "bug", title: "Error", detail: String(error) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="sign-in">
      <img src="/icon.svg" alt="" width="48" height="48" />
      <h1>Sign in to Ferry</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label for="token">Access token</label>
        <input id="token" type="password" autocomplete="current-password" required value={token} aria-describedby="token-help"
          onInput={(event) => setToken((event.target as HTMLInputElement).value)} />
        <p id="token-help" class="dim">The first one is in <code>admin.token</code> in the server's data folder.</p>
        {problem && <ProblemNote problem={problem} />}
        <button type="submit" class="primary" disabled={busy || token.trim() === ""}>Sign in</button>
      </form>
    </main>
  );
}
