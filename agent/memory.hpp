// The supervisor stays small on purpose: what a start or an update needed once goes back to the system.
#pragma once

namespace ferry::agent {

// Before the first thread: one heap for all of them, and large buffers that are not kept after use.
void keep_memory_small();

// Free heap pages go back, and code that start or update ran is unmapped until it is needed again (it is then still in
// the page cache, as a rule). Costs well under a millisecond; thread-safe. A debugger's breakpoints do not survive it.
void give_back_memory();

}  // namespace ferry::agent
