# SPDX-License-Identifier: Apache-2.0
# One library per folder, and one per room of agent/. A folder's CMakeLists.txt names what it may
# link; that and scripts/check-layers are the layering of CONTRIBUTING.md.

# plimsoll_library(<name> [LINK <public libraries>...] [PRIVATE <private libraries>...])
# Makes plimsoll_<name> of the folder's *.cc except main.cc. Its headers without a source are compiled
# alone; the others are first in theirs (scripts/check-layers). Headers that only BPF programs can
# include, for they include the kernel's types, belong to no C++ target.
function(plimsoll_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LINK;PRIVATE")
  file(GLOB sources CONFIGURE_DEPENDS "*.cc")
  list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/main.cc")
  file(GLOB headers CONFIGURE_DEPENDS "*.h")
  foreach(header IN LISTS headers)
    cmake_path(REPLACE_EXTENSION header .cc OUTPUT_VARIABLE source)
    if(source IN_LIST sources)
      list(REMOVE_ITEM headers "${header}")
      continue()
    endif()
    file(STRINGS "${header}" kernel_types LIMIT_COUNT 1 REGEX
         "^#include [<\"]bpf/(bpf_|kernel_types)")
    if(kernel_types)
      list(REMOVE_ITEM headers "${header}")
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
    endif()
  endforeach()

  set(target plimsoll_${name})
  add_library(${target} STATIC ${sources})
  target_link_libraries(${target} PUBLIC ${arg_LINK} PRIVATE plimsoll_flags ${arg_PRIVATE})
  target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES
                                  ${headers})
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}")
endfunction()
