# cm_c10d: the process groups that this LibTorch has and whose headers are there, for src/distributed alone.
#
# LibTorch has Gloo and NCCL inside, but its packages ship neither's headers. Gloo's are Debian's libgloo-dev (only the
# headers are used, and of them only types that c10d holds by pointer); NCCL's come with the wheel's CUDA packages.
if(NOT EXISTS "${CM_TORCH_ROOT}/include/torch/csrc/distributed/c10d/ProcessGroupGloo.hpp")
  message(FATAL_ERROR "The LibTorch at ${CM_TORCH_ROOT} was built without c10d (USE_DISTRIBUTED=0). Use an official "
                      "LibTorch for Linux, which has it, or scripts/setup.sh, which installs one.")
endif()
add_library(cm_c10d INTERFACE)
set(CM_GLOO OFF)
find_path(CM_GLOO_INCLUDE gloo/rendezvous/store.h)
mark_as_advanced(CM_GLOO_INCLUDE)
if(CM_GLOO_INCLUDE)
  set(CM_GLOO ON)
  target_compile_definitions(cm_c10d INTERFACE USE_C10D_GLOO)
  target_include_directories(cm_c10d SYSTEM INTERFACE ${CM_GLOO_INCLUDE})
else()
  message(STATUS "Gloo's headers were not found: the programs will run as one process only (Debian: libgloo-dev)")
endif()

set(CM_NCCL OFF)
if(CM_GLOO AND CM_TORCH_HAS_CUDA)
  find_path(CM_NCCL_INCLUDE nccl.h HINTS "${CM_TORCH_ROOT}/../nvidia/nccl/include" "${CM_TORCH_ROOT}/include")
  mark_as_advanced(CM_NCCL_INCLUDE)
  if(CM_NCCL_INCLUDE AND CM_CUDA_INCLUDE)
    set(CM_NCCL ON)
    target_compile_definitions(cm_c10d INTERFACE USE_C10D_NCCL)
    target_include_directories(cm_c10d SYSTEM INTERFACE ${CM_NCCL_INCLUDE} ${CM_CUDA_INCLUDE})
  else()
    message(STATUS "NCCL's or CUDA's headers were not found: several processes will run on the CPU only")
  endif()
endif()
message(STATUS "Several processes: Gloo ${CM_GLOO}, NCCL ${CM_NCCL}")
