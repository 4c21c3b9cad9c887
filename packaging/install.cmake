# What `cmake --install` puts where. tests/install/run.py holds it against tests/install/files.txt.
include(CMakePackageConfigHelpers)

install(TARGETS boltpool EXPORT boltpool LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/boltpool DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
if(TARGET boltpool_exe)
    install(TARGETS boltpool_exe RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(FILES packaging/boltpool.ini packaging/boltpool.service DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(DIRECTORY examples/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples
        FILES_MATCHING PATTERN "*.c" PATTERN "*.py" PATTERN "*.md" PATTERN Makefile PATTERN CMakeLists.txt
        PATTERN "__pycache__" EXCLUDE PATTERN "build*" EXCLUDE)

# Both kinds of package find the rest from where they lie themselves, so that the installed tree may be moved.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/boltpool)
install(EXPORT boltpool NAMESPACE boltpool:: FILE boltpool-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(packaging/boltpool-config.cmake.in boltpool-config.cmake INSTALL_DESTINATION ${package_dir}
                              NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change anything.
write_basic_package_version_file(boltpool-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/boltpool-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/boltpool-config-version.cmake
        DESTINATION ${package_dir})

set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR} OR IS_ABSOLUTE ${CMAKE_INSTALL_INCLUDEDIR})
    set(PC_PREFIX ${CMAKE_INSTALL_PREFIX})
    set(PC_LIBDIR ${CMAKE_INSTALL_FULL_LIBDIR})
    set(PC_INCLUDEDIR ${CMAKE_INSTALL_FULL_INCLUDEDIR})
else()
    file(RELATIVE_PATH up /prefix/${pkgconfig_dir} /prefix)
    string(REGEX REPLACE "/$" "" up ${up})
    set(PC_PREFIX "\${pcfiledir}/${up}")
    set(PC_LIBDIR "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
    set(PC_INCLUDEDIR "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(packaging/boltpool.pc.in boltpool.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/boltpool.pc DESTINATION ${pkgconfig_dir})
