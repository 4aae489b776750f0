# CM_CUDA_KERNELS: whether our own kernels for GPUs are built (src/kernels/*.cu). That needs a LibTorch with CUDA, a
# working nvcc, and its CUDA's major version to be LibTorch's, since both use one runtime library. Without them LibTorch's
# operators run on GPUs alone, and nothing else is missing.
#
# CM_CUDA_INCLUDE: CUDA's headers, which are there without nvcc too (the wheel's CUDA packages have them): NCCL's need them,
# and so does the test that runs the kernels on the host.
set(CM_CUDA_KERNELS OFF)
set(_obstacle)

# A toolkit that lies beside the PATH is found as well; CUDACXX and CMAKE_CUDA_COMPILER name another nvcc.
function(cm_find_nvcc)
  if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
    return()
  endif()
  find_program(CM_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin)
  mark_as_advanced(CM_NVCC)
  if(CM_NVCC)
    set(ENV{CUDACXX} ${CM_NVCC})
  endif()
endfunction()

if(CM_CUDA STREQUAL "OFF")
  set(_obstacle "CM_CUDA is OFF")
elseif(NOT CM_TORCH_HAS_CUDA)
  set(_obstacle "this LibTorch has no CUDA")
elseif(NOT CM_CUDART_LIBRARY)
  set(_obstacle "the CUDA runtime library that LibTorch uses was not found beside it")
else()
  # Of Ampere and Hopper, and Hopper's in the form that drivers compile for whatever comes later.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90 CACHE STRING "GPUs that the kernels are compiled for")
  endif()
  include(CheckLanguage)
  cm_find_nvcc()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # LibTorch's is linked, not a second one
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)  # CMake 3.25 knows no nvcc with C++20
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_EXTENSIONS OFF)
    string(REGEX MATCH "^[0-9]+" _nvcc_major "${CMAKE_CUDA_COMPILER_VERSION}")
    if(NOT CM_CUDART_LIBRARY MATCHES "\\.so\\.${_nvcc_major}(\\.|$)")
      set(_obstacle "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is not of the CUDA of LibTorch's ${CM_CUDART_LIBRARY}")
    endif()
  else()
    set(_obstacle "no working nvcc was found (PATH, CUDACXX, CUDA_HOME, /usr/local/cuda)")
  endif()
endif()

if(NOT _obstacle)
  set(CM_CUDA_KERNELS ON)
  set(CM_CUDA_INCLUDE "${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES}")
  list(JOIN CMAKE_CUDA_ARCHITECTURES ", " _architectures)
  message(STATUS "Kernels for GPUs: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, compute capabilities ${_architectures}")
elseif(CM_CUDA STREQUAL "ON")
  message(FATAL_ERROR "CM_CUDA=ON, but ${_obstacle}. Install the CUDA toolkit of LibTorch's CUDA version and name its nvcc "
                      "(CUDACXX=/path/to/nvcc), or leave CM_CUDA at AUTO: LibTorch's operators then run on GPUs.")
else()
  message(STATUS "Kernels for GPUs: none, ${_obstacle}; LibTorch's operators run there")
endif()

if(NOT CM_CUDA_INCLUDE)
  file(GLOB _cuda_roots "${CM_TORCH_ROOT}/../nvidia/cu1*")
  find_path(CM_CUDA_INCLUDE cuda_runtime_api.h HINTS ${_cuda_roots} ENV CUDA_HOME PATHS /usr/local/cuda
            PATH_SUFFIXES include)
  mark_as_advanced(CM_CUDA_INCLUDE)
endif()

# Adds src/NAME/*.cu to the module. They are objects of its library, so that what links it needs no nvcc.
function(cm_cuda_sources name)
  if(NOT CM_CUDA_KERNELS)
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cu)
  add_library(cm_${name}_cuda OBJECT ${sources})
  target_include_directories(cm_${name}_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_compile_options(cm_${name}_cuda PRIVATE -Xcompiler=-Wall,-Wextra
    $<$<BOOL:${CM_WARNINGS_AS_ERRORS}>:-Xcompiler=-Werror -Werror=all-warnings>)
  target_sources(cm_${name} PRIVATE $<TARGET_OBJECTS:cm_${name}_cuda>)
  foreach(target cm_${name} cm_${name}_cuda)
    target_compile_definitions(${target} PRIVATE CM_CUDA_KERNELS)
  endforeach()
  target_include_directories(cm_${name} SYSTEM PRIVATE ${CM_CUDA_INCLUDE})
  target_link_libraries(cm_${name} PRIVATE cm_cudart)
endfunction()

# libconsistency_cuda: what is written against CUDA's own C++ interface, src/*/*_cuda.cpp, and linked against LibTorch's part
# for CUDA. Programs load it where they use a GPU (cm/base/gpus.h); it lies beside them.
function(cm_cuda_library)
  set(sources)
  if(CM_CUDA_KERNELS)
    list(APPEND sources src/kernels/device_graph_cuda.cpp)
  endif()
  if(CM_NCCL)
    list(APPEND sources src/distributed/nccl_cuda.cpp)
  endif()
  if(NOT sources)
    return()
  endif()
  add_library(consistency_cuda MODULE ${sources})
  target_include_directories(consistency_cuda PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_include_directories(consistency_cuda SYSTEM PRIVATE ${CM_CUDA_INCLUDE})
  target_link_libraries(consistency_cuda PRIVATE cm_flags cm_torch cm_c10d cm_torch_cuda)
  target_precompile_headers(consistency_cuda REUSE_FROM cm_pch)
  set_target_properties(consistency_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
  add_dependencies(cm_base consistency_cuda)
  target_link_options(cm_base INTERFACE $<INSTALL_INTERFACE:LINKER:-rpath,$<INSTALL_PREFIX>/${CMAKE_INSTALL_LIBDIR}>)
endfunction()
