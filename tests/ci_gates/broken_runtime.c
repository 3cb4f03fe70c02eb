// What the gate opens in place of ONNX Runtime when a test wants the process that runs the model to end badly.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

const void* OrtGetApiBase(void);

const void* OrtGetApiBase(void) {
#if defined(BEHAVE_CRASH)
  // By default handling, as in a program that no sanitizer watches.
  signal(SIGSEGV, SIG_DFL);
  raise(SIGSEGV);
#elif defined(BEHAVE_HANG)
  for (;;) pause();
#else
  _exit(7);
#endif
  return NULL;
}
