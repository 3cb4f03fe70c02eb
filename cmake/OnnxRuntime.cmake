# Where ONNX Runtime is. Nothing links it: the worker opens the library at run time (docs/adr/0008), so the build needs
# only the C header, and the library's path as a default for tests and the configuration file.
#   ferry_onnxruntime_headers   INTERFACE target with the include directory
#   FERRY_ONNXRUNTIME_LIBRARY   path of libonnxruntime.so.1
if(DEFINED ENV{FERRY_CACHE})
  set(ferry_deps "$ENV{FERRY_CACHE}")
else()
  set(ferry_deps "${CMAKE_SOURCE_DIR}/build/deps")
endif()
set(ONNXRUNTIME_ROOT "${ferry_deps}/onnxruntime" CACHE PATH
  "Folder with include/onnxruntime_c_api.h and lib/libonnxruntime.so.1: a vendor's build, or what scripts/setup fetched")

find_path(FERRY_ONNXRUNTIME_INCLUDE onnxruntime_c_api.h
  PATHS "${ONNXRUNTIME_ROOT}/include" PATH_SUFFIXES onnxruntime onnxruntime/core/session NO_DEFAULT_PATH)
find_file(FERRY_ONNXRUNTIME_LIBRARY NAMES libonnxruntime.so.1 libonnxruntime.so
  PATHS "${ONNXRUNTIME_ROOT}/lib" "${ONNXRUNTIME_ROOT}/lib64" NO_DEFAULT_PATH
  DOC "ONNX Runtime's shared library, opened by the worker")

if(NOT FERRY_ONNXRUNTIME_INCLUDE OR NOT FERRY_ONNXRUNTIME_LIBRARY)
  message(FATAL_ERROR "ONNX Runtime is not in ${ONNXRUNTIME_ROOT}.\n"
    "Run scripts/setup build, or pass -DONNXRUNTIME_ROOT= with a folder that has include/onnxruntime_c_api.h and "
    "lib/libonnxruntime.so.1.")
endif()

add_library(ferry_onnxruntime_headers INTERFACE)
target_include_directories(ferry_onnxruntime_headers SYSTEM INTERFACE "${FERRY_ONNXRUNTIME_INCLUDE}")
