# cm_torch: LibTorch as an imported target of our own over its headers and libraries.
#
# The package file that LibTorch ships looks for a CUDA toolkit as soon as LibTorch was built with CUDA, and fails where
# there is none; linking the libraries by their full path works with and without one, for the PyPI wheel, for the
# LibTorch archives and for conda alike. Looked for in this order:
#   1. Torch_DIR (…/share/cmake/Torch), or a folder of CMAKE_PREFIX_PATH that holds share/cmake/Torch
#   2. the project's own .venv, which scripts/setup.sh makes

set(_roots)
if(Torch_DIR)
  get_filename_component(_root "${Torch_DIR}/../../.." ABSOLUTE)
  list(APPEND _roots "${_root}")
endif()
foreach(_prefix IN LISTS CMAKE_PREFIX_PATH)
  if(EXISTS "${_prefix}/share/cmake/Torch/TorchConfig.cmake")
    list(APPEND _roots "${_prefix}")
  elseif(EXISTS "${_prefix}/TorchConfig.cmake")
    get_filename_component(_root "${_prefix}/../../.." ABSOLUTE)
    list(APPEND _roots "${_root}")
  endif()
endforeach()
if(NOT _roots)
  file(GLOB _wheels "${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
  list(APPEND _roots ${_wheels})
endif()
if(NOT _roots)
  message(FATAL_ERROR "LibTorch was not found. Run scripts/setup.sh, which installs it into .venv, or name your own: "
                      "cmake -DCMAKE_PREFIX_PATH=/path/to/libtorch …")
endif()
list(GET _roots 0 CM_TORCH_ROOT)
find_library(CM_TORCH_CPU_LIBRARY torch_cpu PATHS "${CM_TORCH_ROOT}/lib" NO_DEFAULT_PATH NO_CACHE)
if(NOT CM_TORCH_CPU_LIBRARY OR NOT EXISTS "${CM_TORCH_ROOT}/include/torch/csrc/api/include/torch/types.h")
  message(FATAL_ERROR "${CM_TORCH_ROOT} is not a whole LibTorch: it has no lib/libtorch_cpu.so or no C++ headers. "
                      "Unpack the LibTorch archive again, or run scripts/setup.sh for the project's own.")
endif()

# The version, from the header that every LibTorch ships.
foreach(_header torch/csrc/api/include/torch/version.h torch/headeronly/version.h)
  if(EXISTS "${CM_TORCH_ROOT}/include/${_header}")
    file(STRINGS "${CM_TORCH_ROOT}/include/${_header}" _lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    foreach(_line IN LISTS _lines)
      string(REGEX MATCH "(MAJOR|MINOR|PATCH) ([0-9]+)" _ "${_line}")
      set(_version_${CMAKE_MATCH_1} ${CMAKE_MATCH_2})
    endforeach()
  endif()
endforeach()
set(CM_TORCH_VERSION "${_version_MAJOR}.${_version_MINOR}.${_version_PATCH}")
if(CM_TORCH_VERSION VERSION_LESS 2.11)
  message(FATAL_ERROR "LibTorch ${CM_TORCH_VERSION} at ${CM_TORCH_ROOT} is too old: 2.11 or newer is needed.")
endif()

add_library(cm_torch INTERFACE)
target_include_directories(cm_torch SYSTEM INTERFACE
  $<BUILD_INTERFACE:${CM_TORCH_ROOT}/include>
  $<BUILD_INTERFACE:${CM_TORCH_ROOT}/include/torch/csrc/api/include>)
# libtorch_cuda registers its kernels when it is loaded; nothing refers to it by name, so the linker must be told to
# keep it.
set(_libraries)
foreach(_name c10 torch_cpu torch c10_cuda torch_cuda)
  if(EXISTS "${CM_TORCH_ROOT}/lib/lib${_name}.so")
    list(APPEND _libraries "${CM_TORCH_ROOT}/lib/lib${_name}.so")
  endif()
endforeach()
target_link_options(cm_torch INTERFACE $<BUILD_INTERFACE:LINKER:--no-as-needed>)
target_link_libraries(cm_torch INTERFACE $<BUILD_INTERFACE:${_libraries}>)
find_package(Threads REQUIRED)
target_link_libraries(cm_torch INTERFACE Threads::Threads)

set(CM_TORCH_HAS_CUDA OFF)
if(EXISTS "${CM_TORCH_ROOT}/lib/libtorch_cuda.so")
  set(CM_TORCH_HAS_CUDA ON)
  # A wheel keeps CUDA's own libraries in sibling packages; the linker must see them to resolve libtorch_cuda.
  file(GLOB _cuda_folders "${CM_TORCH_ROOT}/../nvidia/*/lib")
  foreach(_folder IN LISTS _cuda_folders)
    target_link_options(cm_torch INTERFACE $<BUILD_INTERFACE:LINKER:-rpath-link,${_folder}>)
  endforeach()
elseif(CM_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CM_CUDA=ON, but the LibTorch at ${CM_TORCH_ROOT} was built without CUDA. Use a CUDA LibTorch "
                      "(scripts/setup.sh installs one) or leave CM_CUDA at AUTO.")
endif()
message(STATUS "LibTorch ${CM_TORCH_VERSION} at ${CM_TORCH_ROOT}, CUDA: ${CM_TORCH_HAS_CUDA}")
