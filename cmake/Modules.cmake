# cm_module(NAME LINK public… PRIVATE_LINK private…): the static library cm_NAME from src/NAME/*.cpp. Several files are compiled
# as one, which halves the build: LibTorch's headers cost each compilation seconds even when they are precompiled. Names in the
# anonymous namespaces of a module must differ.
set(CM_COMPILED_SINGLY "" CACHE STRING "Modules whose files are each compiled alone (scripts/mutate.sh)")
mark_as_advanced(CM_COMPILED_SINGLY)

add_library(cm_flags INTERFACE)
target_compile_features(cm_flags INTERFACE cxx_std_20)
target_compile_options(cm_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wswitch)
if(CM_WARNINGS_AS_ERRORS)
  target_compile_options(cm_flags INTERFACE -Werror)
endif()
if(CM_SANITIZE)
  target_compile_options(cm_flags INTERFACE -fsanitize=${CM_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(cm_flags INTERFACE -fsanitize=${CM_SANITIZE})
endif()

# libFuzzer sees which code an input reaches; the asserts of the standard library and of what is included are on as well.
if(CM_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "CM_FUZZ needs clang, which has libFuzzer, and the compiler is ${CMAKE_CXX_COMPILER}. "
                        "scripts/fuzz.sh configures with it, or: cmake --preset fuzz")
  endif()
  target_compile_options(cm_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
                                            -fno-sanitize-recover=all -D_GLIBCXX_ASSERTIONS)
  target_link_options(cm_flags INTERFACE -fsanitize=address,undefined)
endif()

# spdlog and LibTorch bring different versions of fmt: the file that uses spdlog never sees LibTorch's headers.
add_library(cm_log OBJECT ${PROJECT_SOURCE_DIR}/src/base/log.cpp)
target_include_directories(cm_log PRIVATE ${PROJECT_SOURCE_DIR}/include)
target_link_libraries(cm_log PRIVATE cm_flags spdlog::spdlog)

# For targets whose time goes to the modules below them, and compilation's to optimising options and messages.
function(cm_little_optimisation)
  foreach(target IN LISTS ARGN)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  endforeach()
endfunction()

# One precompiled header for all that sees LibTorch.
add_library(cm_pch OBJECT ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
target_link_libraries(cm_pch PRIVATE cm_flags cm_torch)
target_precompile_headers(cm_pch PRIVATE
  <torch/types.h> <torch/nn/module.h> <torch/nn/pimpl.h> <torch/nn/modules/container/modulelist.h>
  <functional> <map> <memory> <optional> <string> <vector>)

function(cm_module name)
  cmake_parse_arguments(ARG "" "" "LINK;PRIVATE_LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/base/log\\.cpp$|_cuda\\.cpp$")  # cm_log, consistency_cuda
  add_library(cm_${name} STATIC ${sources})
  add_library(cm::${name} ALIAS cm_${name})
  set_target_properties(cm_${name} PROPERTIES EXPORT_NAME ${name} UNITY_BUILD_BATCH_SIZE 8)
  if(NOT name IN_LIST CM_COMPILED_SINGLY)
    set_target_properties(cm_${name} PROPERTIES UNITY_BUILD ON)
  endif()
  target_include_directories(cm_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(cm_${name} PUBLIC cxx_std_20)
  target_link_libraries(cm_${name} PUBLIC ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:cm_flags>)
  foreach(library IN LISTS ARG_PRIVATE_LINK)
    target_link_libraries(cm_${name} PRIVATE ${library})
  endforeach()
  target_precompile_headers(cm_${name} REUSE_FROM cm_pch)
  set_property(GLOBAL APPEND PROPERTY CM_MODULES cm_${name})
endfunction()
