# boltpool_version_script(TARGET SYMBOLS) - the linker's version script, made from the checked-in list of NAME@VERSION.
#
# A name keeps the version that it was released with. What isn't in the list yet gets the newest version: a new function
# works at once, and scripts/check_symbols.sh fails until it is in the list.
function(boltpool_version_script target symbols)
    set(newest BOLTPOOL_${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
    file(STRINGS ${symbols} lines REGEX "^bp_")
    set(versions ${newest})
    foreach(line ${lines})
        string(REPLACE "@" ";" pair ${line})
        list(GET pair 0 name)
        list(GET pair 1 version)
        list(APPEND versions ${version})
        string(APPEND "names_${version}" "        ${name};\n")
    endforeach()
    list(REMOVE_DUPLICATES versions)
    list(SORT versions COMPARE NATURAL)

    set(text "")
    set(before "")
    foreach(version ${versions})
        string(APPEND text "${version} {\n    global:\n${names_${version}}")
        if(version STREQUAL newest)
            string(APPEND text "        bp_*;\n")
        endif()
        if(before STREQUAL "")
            string(APPEND text "    local:\n        *;\n")
        endif()
        string(APPEND text "}${before};\n")
        set(before " ${version}")
    endforeach()

    set(map ${CMAKE_BINARY_DIR}/libboltpool.map)
    file(CONFIGURE OUTPUT ${map} CONTENT "${text}" @ONLY)    # leaves an unchanged file alone
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${symbols})
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${map})
    target_link_options(${target} PRIVATE LINKER:--version-script=${map})
endfunction()
