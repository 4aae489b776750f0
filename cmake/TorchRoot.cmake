# Finds LibTorch and sets CM_TORCH_ROOT and CM_TORCH_VERSION. Looked for in this order:
#   1. Torch_DIR (…/share/cmake/Torch), as a CMake or environment variable
#   2. a folder of CMAKE_PREFIX_PATH (CMake or environment variable) that holds LibTorch: its root, its share/cmake
#      (torch.utils.cmake_prefix_path) or its share/cmake/Torch
#   3. CM_TORCH_DEFAULT_ROOT (an installed package: the LibTorch that its libraries were built with)
#   4. the project's own .venv, which scripts/setup.sh makes
# As a script, `cmake [-DCM_TORCH_NAMED_ONLY=ON] -P cmake/TorchRoot.cmake` prints "ROOT VERSION" or fails with what is
# wrong; with CM_TORCH_NAMED_ONLY it looks at 1 and 2 only, and prints nothing where they name none.

set(_roots)
foreach(_folder IN ITEMS "${Torch_DIR}" "$ENV{Torch_DIR}")
  if(_folder)
    get_filename_component(_root "${_folder}/../../.." ABSOLUTE)
    list(APPEND _roots "${_root}")
  endif()
endforeach()
string(REPLACE ":" ";" _prefixes "${CMAKE_PREFIX_PATH};$ENV{CMAKE_PREFIX_PATH}")
foreach(_prefix IN LISTS _prefixes)
  if(EXISTS "${_prefix}/share/cmake/Torch" OR EXISTS "${_prefix}/lib/libtorch.so")
    list(APPEND _roots "${_prefix}")
  elseif(EXISTS "${_prefix}/Torch/TorchConfig.cmake")
    get_filename_component(_root "${_prefix}/../.." ABSOLUTE)
    list(APPEND _roots "${_root}")
  elseif(EXISTS "${_prefix}/TorchConfig.cmake")
    get_filename_component(_root "${_prefix}/../../.." ABSOLUTE)
    list(APPEND _roots "${_root}")
  endif()
endforeach()
if(CM_TORCH_DEFAULT_ROOT)
  list(APPEND _roots "${CM_TORCH_DEFAULT_ROOT}")
endif()
if(NOT CM_TORCH_NAMED_ONLY)
  get_filename_component(_project "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
  file(GLOB _wheels "${_project}/.venv/lib/python3*/site-packages/torch")
  list(APPEND _roots ${_wheels})
elseif(NOT _roots)
  return()
endif()
if(NOT _roots)
  message(FATAL_ERROR "LibTorch was not found in Torch_DIR, CMAKE_PREFIX_PATH or .venv. Run scripts/setup.sh, which "
                      "installs it into .venv, or name your own: CMAKE_PREFIX_PATH=/path/to/libtorch")
endif()
list(GET _roots 0 CM_TORCH_ROOT)
foreach(_file lib/libtorch_cpu.so lib/libc10.so include/torch/csrc/api/include/torch/types.h)
  if(NOT EXISTS "${CM_TORCH_ROOT}/${_file}")
    message(FATAL_ERROR "${CM_TORCH_ROOT} is not a whole LibTorch: it has no ${_file}. Unpack the LibTorch archive "
                        "again, or run scripts/setup.sh for the project's own.")
  endif()
endforeach()

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

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  execute_process(COMMAND ${CMAKE_COMMAND} -E echo "${CM_TORCH_ROOT} ${CM_TORCH_VERSION}")
endif()
