# Everything besides LibTorch. Debian packages (scripts/setup.sh), found by their CMake packages where Debian ships one.
set(_missing)
macro(cm_require found debian_package)
  if(NOT ${found})
    list(APPEND _missing ${debian_package})
  endif()
endmacro()

foreach(_package nlohmann_json yaml-cpp spdlog ZLIB OpenSSL)
  find_package(${_package} QUIET)
endforeach()
cm_require(nlohmann_json_FOUND nlohmann-json3-dev)
cm_require(yaml-cpp_FOUND libyaml-cpp-dev)
cm_require(spdlog_FOUND libspdlog-dev)
cm_require(ZLIB_FOUND zlib1g-dev)
cm_require(OPENSSL_CRYPTO_LIBRARY libssl-dev)
if(NOT CMAKE_FIND_PACKAGE_NAME STREQUAL "consistency")  # an installed package has no executables to build
  find_package(CLI11 QUIET)
  cm_require(CLI11_FOUND libcli11-dev)
endif()

# libzip's package file needs its command-line tools to be installed too; the library is enough.
find_path(CM_ZIP_INCLUDE zip.h)
find_library(CM_ZIP_LIBRARY zip)
cm_require(CM_ZIP_LIBRARY libzip-dev)
mark_as_advanced(CM_ZIP_INCLUDE CM_ZIP_LIBRARY)
if(NOT TARGET libzip::zip)
  add_library(libzip::zip UNKNOWN IMPORTED)
  set_target_properties(libzip::zip PROPERTIES IMPORTED_LOCATION "${CM_ZIP_LIBRARY}"
                                               INTERFACE_INCLUDE_DIRECTORIES "${CM_ZIP_INCLUDE}")
endif()

# OpenCV's package file needs every OpenCV module to be installed; we use three.
find_path(CM_OPENCV_INCLUDE opencv2/imgcodecs.hpp PATH_SUFFIXES opencv4)
add_library(cm_opencv INTERFACE IMPORTED)
target_include_directories(cm_opencv SYSTEM INTERFACE ${CM_OPENCV_INCLUDE})
foreach(_module core imgproc imgcodecs)
  find_library(CM_OPENCV_${_module} opencv_${_module})
  cm_require(CM_OPENCV_${_module} libopencv-${_module}-dev)
  target_link_libraries(cm_opencv INTERFACE ${CM_OPENCV_${_module}})
  mark_as_advanced(CM_OPENCV_${_module})
endforeach()
mark_as_advanced(CM_OPENCV_INCLUDE)

if(_missing)
  list(JOIN _missing " " _missing)
  message(FATAL_ERROR "Libraries are missing. On Debian: apt-get install ${_missing} (scripts/setup.sh does it). "
                      "Elsewhere install the same libraries and name their folder in CMAKE_PREFIX_PATH.")
endif()

# glibc's malloc returns every large tensor to the system and faults its pages in again; tcmalloc keeps them.
if(CM_TCMALLOC AND NOT CM_SANITIZE AND NOT CM_FUZZ)
  find_library(CM_TCMALLOC_LIBRARY tcmalloc_minimal)
  mark_as_advanced(CM_TCMALLOC_LIBRARY)
  if(NOT CM_TCMALLOC_LIBRARY)
    message(STATUS "tcmalloc was not found: training on the CPU will be slower (Debian: libgoogle-perftools-dev)")
  endif()
endif()
