# Everything besides LibTorch. Debian packages (scripts/setup.sh), found by their CMake packages where Debian ships one.
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(ZLIB REQUIRED)

# libzip's package file needs its command-line tools to be installed too; the library is enough.
find_path(CM_ZIP_INCLUDE zip.h REQUIRED)
find_library(CM_ZIP_LIBRARY zip REQUIRED)
mark_as_advanced(CM_ZIP_INCLUDE CM_ZIP_LIBRARY)
add_library(libzip::zip UNKNOWN IMPORTED)
set_target_properties(libzip::zip PROPERTIES IMPORTED_LOCATION "${CM_ZIP_LIBRARY}"
                                             INTERFACE_INCLUDE_DIRECTORIES "${CM_ZIP_INCLUDE}")

# OpenCV's package file needs every OpenCV module to be installed; we use three.
find_path(CM_OPENCV_INCLUDE opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4 REQUIRED)
add_library(cm_opencv INTERFACE)
target_include_directories(cm_opencv SYSTEM INTERFACE $<BUILD_INTERFACE:${CM_OPENCV_INCLUDE}>)
foreach(_module core imgproc imgcodecs)
  find_library(CM_OPENCV_${_module} opencv_${_module} REQUIRED)
  target_link_libraries(cm_opencv INTERFACE $<BUILD_INTERFACE:${CM_OPENCV_${_module}}>)
  mark_as_advanced(CM_OPENCV_${_module})
endforeach()
mark_as_advanced(CM_OPENCV_INCLUDE)

# glibc's malloc returns every large tensor to the system and faults its pages in again; tcmalloc keeps them.
if(CM_TCMALLOC AND NOT CM_SANITIZE)
  find_library(CM_TCMALLOC_LIBRARY tcmalloc_minimal)
  mark_as_advanced(CM_TCMALLOC_LIBRARY)
  if(NOT CM_TCMALLOC_LIBRARY)
    message(STATUS "tcmalloc was not found: training on the CPU will be slower (Debian: libgoogle-perftools-dev)")
  endif()
endif()
