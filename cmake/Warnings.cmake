# Each warning with what it has caught for us or others; -Werror in presets (FERRY_WERROR).
option(FERRY_WERROR "Treat warnings as errors" OFF)
add_library(ferry_warnings INTERFACE)
target_compile_options(ferry_warnings INTERFACE
  -Wall -Wextra        # the baseline every reviewer expects
  -Wshadow             # a shadowed name in a lambda inside a coroutine reads the wrong variable
  -Wconversion         # silent narrowing of a length or a counter from the network
  -Wno-sign-conversion # noise: container indices are signed and unsigned everywhere
  -Wnon-virtual-dtor   # interfaces are deleted through their base
  -Woverloaded-virtual # an override that hides instead
  -Wnull-dereference   # clang finds real ones
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>            # gcc 12 false positives in std::string (PR105329)
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> # gcc 12 false positives in optional and variant
  $<$<CXX_COMPILER_ID:GNU>:-Wno-null-dereference>    # the same, with ASan
  $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete> # gcc 12 and coroutine frames
  $<$<CXX_COMPILER_ID:Clang>:-Wno-missing-field-initializers> # designated initialisers leave defaults on purpose
  $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
  $<$<BOOL:${FERRY_WERROR}>:-Werror>)
