# Uses ccache when it is there. The sloppiness settings are those that ccache needs to cache compilations that read a
# precompiled header.
find_program(CM_CCACHE ccache)
mark_as_advanced(CM_CCACHE)
if(CM_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CM_CCACHE})
endif()
if(CM_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${CM_CCACHE})
endif()
