# Compiler set-up that is neither a warning nor a layer: sanitizers, linker, cache.
set(FERRY_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (address,undefined or thread)")
if(FERRY_SANITIZE)
  add_compile_options(-fsanitize=${FERRY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${FERRY_SANITIZE})
endif()

find_program(FERRY_CCACHE ccache)
if(FERRY_CCACHE)
  # Precompiled headers need these two relaxations (ccache manual, "Precompiled headers").
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${FERRY_CCACHE})
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
endif()

find_program(FERRY_MOLD mold)
find_program(FERRY_LLD ld.lld)
if(FERRY_MOLD)
  add_link_options(-fuse-ld=mold)
elseif(FERRY_LLD)
  add_link_options(-fuse-ld=lld)
endif()

# A JSON value converts to nothing by itself: implicit conversions throw at run time, and they make Result<Json> ambiguous.
add_compile_definitions(JSON_USE_IMPLICIT_CONVERSIONS=0)

# Asio: compiled once (common/http/asio.cpp), never header-only in every file.
add_compile_definitions(BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ERROR_CODE_HEADER_ONLY)
