# `cmake --install build --prefix P`: the executables, and the package `consistency` for find_package: the static
# libraries as cm::base, cm::io, …, their headers, and the files that find LibTorch and the other dependencies again.
include(CMakePackageConfigHelpers)
set(_package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/consistency)

get_property(_modules GLOBAL PROPERTY CM_MODULES)
install(TARGETS ${_modules} EXPORT consistency ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/cm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT consistency NAMESPACE cm:: FILE consistencyTargets.cmake DESTINATION ${_package_folder})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/consistencyConfig.cmake.in
  ${PROJECT_BINARY_DIR}/consistencyConfig.cmake INSTALL_DESTINATION ${_package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/consistencyConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/consistencyConfig.cmake ${PROJECT_BINARY_DIR}/consistencyConfigVersion.cmake
              cmake/TorchRoot.cmake cmake/Torch.cmake cmake/Dependencies.cmake
  DESTINATION ${_package_folder})

# CMake's own choice of run path leaves out a LibTorch that lies inside the source tree, as .venv does.
get_property(_executables GLOBAL PROPERTY CM_EXECUTABLES)
if(_executables)
  set(_library_folders ${CM_TORCH_ROOT}/lib)
  if(CM_CUDA_KERNELS)
    cmake_path(GET CM_CUDART_LIBRARY PARENT_PATH _cudart_folder)
    list(APPEND _library_folders ${_cudart_folder})
  endif()
  if(TARGET consistency_cuda)
    install(TARGETS consistency_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
    set_target_properties(consistency_cuda PROPERTIES INSTALL_RPATH "${_library_folders}")
    list(APPEND _library_folders $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
  endif()
  set_target_properties(${_executables} PROPERTIES INSTALL_RPATH "${_library_folders}")
  install(TARGETS ${_executables} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # What the shells complete command lines by, as the executables themselves print it.
  foreach(_executable IN LISTS _executables)
    install(CODE "
      foreach(_place bash/bash-completion/completions/${_executable} zsh/zsh/site-functions/_${_executable})
        string(REGEX MATCH \"^([a-z]+)/(.*)\" _ \"\${_place}\")
        set(_file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/\${CMAKE_MATCH_2}\")
        cmake_path(GET _file PARENT_PATH _folder)
        file(MAKE_DIRECTORY \"\${_folder}\")
        execute_process(COMMAND \"$<TARGET_FILE:${_executable}>\" --completion \${CMAKE_MATCH_1}
                        OUTPUT_FILE \"\${_file}\" COMMAND_ERROR_IS_FATAL ANY)
        message(STATUS \"Installing: \${_file}\")
      endforeach()")
  endforeach()
endif()
