import { useTitle } from "../state/router";

export function NotFoundScreen() {
  useTitle("Not here");
  return (
    <div class="page">
      <h1>Not here</h1>
      <p>This page does not exist, or the object was removed. <a href="/">Back to the overview</a></p>
    </div>
  );
}
