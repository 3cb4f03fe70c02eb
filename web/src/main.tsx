import { render } from "preact";
import { App } from "./app";
import { startRouter } from "./state/router";
import { resume } from "./state/session";

startRouter();
void resume();
render(<App />, document.getElementById("app")!);
