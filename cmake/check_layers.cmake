# cmake -P cmake/check_layers.cmake [-DROOT=<tree>]: reads every #include of the layer folders and of their tests, and
# fails on an arrow that cmake/layers.cmake does not declare, on another folder's internal/ header, and on a library
# that is kept to a few files.
cmake_minimum_required(VERSION 3.25)
if(NOT DEFINED ROOT)
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH ROOT)
endif()
include(${ROOT}/cmake/layers.cmake)

# Library header (regex) and the only files (regex) that may include it. Reasons: ARCHITECTURE.md.
set(kept
  "^onnxruntime_c_api\\.h$" "^runtime/onnx_[a-z0-9_]*\\.[ch]pp$"
  "^boost/beast"            "^common/http/([a-z0-9_]*\\.cpp|internal/.*)$"
  "^boost/asio/ssl"         "^common/http/([a-z0-9_]*\\.cpp|internal/.*)$"
  "^sqlite3\\.h$"           "^common/(sqlite[a-z0-9_]*\\.cpp|internal/sqlite.*)$"
  "^openssl/"               "^common/((crypto|x509|cms|tls|http|curl)[a-z0-9_]*\\.cpp|http/[a-z0-9_]*\\.cpp|(http/)?internal/.*)$"
  "^curl/"                  "^common/(curl[a-z0-9_]*\\.cpp|internal/curl.*)$"
  "^libpq-fe\\.h$"          "^server/store/postgres[a-z0-9_]*\\.cpp$")
# Folders that nothing below the programs' own tests may include.
set(outside tests web docker examples scripts)

set(errors 0)
set(arrows 0)
macro(complain text)
  message(SEND_ERROR "${file}: #include of ${included}: ${text}")
  math(EXPR errors "${errors} + 1")
endmacro()

macro(check_own_header)
  string(REGEX REPLACE "/.*" "" target "${included}")
  math(EXPR arrows "${arrows} + 1")
  if(NOT included MATCHES "/")
    complain("write the path from the repository's root")
  elseif(target IN_LIST outside)
    if(NOT (is_test AND target STREQUAL "tests"))
      complain("${layer} must not know ${target}")
    endif()
  elseif(NOT target IN_LIST layers)
    complain("${target} is not a layer (cmake/layers.cmake)")
  else()
    if(NOT target STREQUAL layer AND NOT is_test AND NOT target IN_LIST ${layer}_uses)
      complain("${layer} may not use ${target} (cmake/layers.cmake)")
    endif()
    if(included MATCHES "/internal/" AND NOT target STREQUAL layer)
      complain("internal/ headers belong to ${target} alone")
    endif()
  endif()
endmacro()

macro(check_library_header)
  set(rest ${kept})
  while(rest)
    list(POP_FRONT rest header place)
    if(included MATCHES "${header}" AND NOT file MATCHES "${place}")
      complain("only files like ${place} may include it")
    endif()
  endwhile()
endmacro()

foreach(layer IN LISTS layers)
  foreach(used IN LISTS ${layer}_uses)
    list(FIND layers ${layer} own_place)
    list(FIND layers ${used} used_place)
    if(used_place LESS 0 OR NOT used_place LESS own_place)
      message(SEND_ERROR "cmake/layers.cmake: ${layer} uses ${used}, which is not a layer below it")
      math(EXPR errors "${errors} + 1")
    endif()
  endforeach()

  file(GLOB_RECURSE files RELATIVE ${ROOT}
    ${ROOT}/${layer}/*.hpp ${ROOT}/${layer}/*.cpp ${ROOT}/${layer}/*.h ${ROOT}/${layer}/*.c
    ${ROOT}/tests/${layer}/*.hpp ${ROOT}/tests/${layer}/*.cpp)
  foreach(file IN LISTS files)
    set(is_test FALSE)
    if(file MATCHES "^tests/")
      set(is_test TRUE)
    endif()
    file(STRINGS ${ROOT}/${file} lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
    foreach(line IN LISTS lines)
      if(line MATCHES "include[ \t]*\"([^\"]+)\"")
        set(included "${CMAKE_MATCH_1}")
        check_own_header()
      elseif(line MATCHES "include[ \t]*<([^>]+)>" AND NOT is_test)
        set(included "${CMAKE_MATCH_1}")
        check_library_header()
      endif()
    endforeach()
  endforeach()
endforeach()

if(errors GREATER 0)
  message(FATAL_ERROR "layers: ${errors} forbidden, ${arrows} includes read")
endif()
message(STATUS "layers: ${arrows} includes follow cmake/layers.cmake")
