import { render } from "preact";
import { App } from "./app";
import { startRouter } from "./state/router";
import { resume, watchSession } from "./state/session";

startRouter();
watchSession();
void resume();
render(<App />, document.getElementById("app")!);
