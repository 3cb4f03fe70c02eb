# ferry_module(<layer> [EXCLUDE regex …] LINKS third-party …): one static library per folder, made of every .cpp in
# it (a file in the folder belongs to the folder's library; programs' main files are EXCLUDEd). It links the layers
# that cmake/layers.cmake allows, so an undeclared arrow does not even link.
function(ferry_module layer)
  cmake_parse_arguments(MODULE "" "" "EXCLUDE;LINKS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  foreach(pattern IN LISTS MODULE_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${pattern})
  endforeach()
  add_library(ferry_${layer} STATIC ${sources})
  add_library(ferry::${layer} ALIAS ferry_${layer})
  target_include_directories(ferry_${layer} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(ferry_${layer} PRIVATE ferry_warnings ${MODULE_LINKS})
  foreach(used IN LISTS ${layer}_uses)
    target_link_libraries(ferry_${layer} PUBLIC ferry::${used})
  endforeach()
  if(layer STREQUAL "common")
    target_precompile_headers(ferry_common PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.hpp)
  else()
    target_precompile_headers(ferry_${layer} REUSE_FROM ferry_common)
  endif()
endfunction()

# ferry_program(<name> <layer> <main.cpp> [third-party …]): an executable over one layer's library.
function(ferry_program name layer main)
  add_executable(${name} ${main})
  target_link_libraries(${name} PRIVATE ferry::${layer} ferry_warnings ${ARGN})
endfunction()

# ferry_test(<layer> [third-party …]): the folder's one test executable, test_<layer>, made of every *_test.cpp in
# tests/<layer>. It links only that layer and tests/support, so a test cannot quietly cross layers.
function(ferry_test layer)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  add_executable(test_${layer} ${sources})
  target_link_libraries(test_${layer} PRIVATE ferry::${layer} ferry_test_support ferry_warnings ${ARGN})
  target_precompile_headers(test_${layer} REUSE_FROM ferry_test_support)
  add_test(NAME unit_${layer} COMMAND test_${layer} --order rand --rng-seed time)
  set_tests_properties(unit_${layer} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()
