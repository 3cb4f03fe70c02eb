// States as words: "rolled_back" is read as "rolled back".
export const wordOf = (state: string) => (state === "" ? "unknown" : state.replace(/_/g, " ").toLowerCase());
