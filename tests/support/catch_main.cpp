#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

// ONNX Runtime registers statics when it is opened and never frees them; it is not ours to mend.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libonnxruntime\n"; }
