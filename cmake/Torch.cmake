# cm_torch: LibTorch as an imported target of our own over its headers and libraries.
#
# The package file that LibTorch ships looks for a CUDA toolkit as soon as LibTorch was built with CUDA, and fails where
# there is none; linking the libraries by their full path works with and without one, for the PyPI wheel, for the
# LibTorch archives and for conda alike.
include(${CMAKE_CURRENT_LIST_DIR}/TorchRoot.cmake)

add_library(cm_torch INTERFACE IMPORTED GLOBAL)
target_include_directories(cm_torch SYSTEM INTERFACE
  ${CM_TORCH_ROOT}/include
  ${CM_TORCH_ROOT}/include/torch/csrc/api/include)
# LibTorch is a release build: without NDEBUG its headers have members that its libraries don't.
target_compile_definitions(cm_torch INTERFACE $<$<CONFIG:Debug>:NDEBUG>)
# Not libtorch_cuda: it is loaded where a GPU is used (cm/base/gpus.h).
target_link_libraries(cm_torch INTERFACE "${CM_TORCH_ROOT}/lib/libc10.so" "${CM_TORCH_ROOT}/lib/libtorch_cpu.so"
                                         ${CMAKE_DL_LIBS})
find_package(Threads REQUIRED)
target_link_libraries(cm_torch INTERFACE Threads::Threads)
# at::parallel_for is a loop on one thread where its caller is compiled without OpenMP, which fuzzers want.
if(NOT CM_FUZZ)
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT OpenMP_CXX_FOUND)
    message(FATAL_ERROR "The compiler ${CMAKE_CXX_COMPILER} has no OpenMP. GCC comes with it; Clang needs libomp-dev.")
  endif()
  # By the compiler's own flags: of OpenMP::OpenMP_CXX CMake warns, once an executable, that LibTorch's folder, which is to be
  # searched first, has a libgomp too. It is the one that LibTorch runs on.
  target_compile_options(cm_torch INTERFACE $<$<COMPILE_LANGUAGE:CXX>:SHELL:${OpenMP_CXX_FLAGS}>)
  target_link_options(cm_torch INTERFACE $<$<LINK_LANGUAGE:CXX>:SHELL:${OpenMP_CXX_FLAGS}>)
endif()

set(CM_TORCH_HAS_CUDA OFF)
if(EXISTS "${CM_TORCH_ROOT}/lib/libtorch_cuda.so")
  set(CM_TORCH_HAS_CUDA ON)
  # A wheel keeps CUDA's own libraries in sibling packages; the linker must see them to resolve LibTorch's.
  file(GLOB _cuda_folders "${CM_TORCH_ROOT}/../nvidia/*/lib")
  foreach(_folder IN LISTS _cuda_folders)
    target_link_options(cm_torch INTERFACE LINKER:-rpath-link,${_folder})
  endforeach()
  add_library(cm_torch_cuda INTERFACE IMPORTED GLOBAL)
  target_link_libraries(cm_torch_cuda INTERFACE "${CM_TORCH_ROOT}/lib/libc10_cuda.so" "${CM_TORCH_ROOT}/lib/libtorch_cuda.so")
  # cm_cudart: the CUDA runtime that LibTorch uses, for kernels of our own. It lies in a sibling package, or in an
  # archive's own folder, where its name has a hash.
  file(GLOB _runtimes "${CM_TORCH_ROOT}/../nvidia/*/lib/libcudart.so.*" "${CM_TORCH_ROOT}/lib/libcudart*.so.*")
  if(_runtimes)
    list(GET _runtimes 0 _runtime)
    cmake_path(NORMAL_PATH _runtime OUTPUT_VARIABLE CM_CUDART_LIBRARY)
    add_library(cm_cudart INTERFACE IMPORTED GLOBAL)
    target_link_libraries(cm_cudart INTERFACE "${CM_CUDART_LIBRARY}")
    target_link_libraries(cm_torch_cuda INTERFACE cm_cudart)
  endif()
elseif(CM_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CM_CUDA=ON, but the LibTorch at ${CM_TORCH_ROOT} was built without CUDA. Use a CUDA LibTorch "
                      "(scripts/setup.sh installs one) or leave CM_CUDA at AUTO.")
endif()
message(STATUS "LibTorch ${CM_TORCH_VERSION} at ${CM_TORCH_ROOT}, CUDA: ${CM_TORCH_HAS_CUDA}")
