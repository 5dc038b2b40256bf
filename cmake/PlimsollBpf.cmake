# SPDX-License-Identifier: Apache-2.0
# BPF programs: <name>.bpf.c -> object -> <name>.skel.h, and the same source for the other
# architecture, so that it stays compilable there.

find_program(PLIMSOLL_CLANG NAMES clang REQUIRED)
find_program(PLIMSOLL_LLVM_STRIP NAMES llvm-strip REQUIRED)

# Ubuntu's /usr/sbin/bpftool is a wrapper that works only for the running kernel; the program
# itself is beside that kernel's tools, and any of them generates skeletons.
file(GLOB plimsoll_bpftool_dirs /usr/lib/linux-tools/* /usr/lib/linux-tools-*)
find_program(PLIMSOLL_BPFTOOL NAMES bpftool PATHS ${plimsoll_bpftool_dirs} /usr/sbin NO_DEFAULT_PATH)
find_program(PLIMSOLL_BPFTOOL NAMES bpftool REQUIRED)

set(PLIMSOLL_BPF_FLAGS
    -target bpf
    -O2
    -g
    -mcpu=v3
    -std=gnu11
    -Wall
    -Wextra
    -Werror
    -Wno-unused-parameter
    -I${PROJECT_SOURCE_DIR}
    # BTF keeps the names of files.
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=
    # Where Debian keeps <asm/types.h>, which -target bpf does not look into.
    -idirafter
    /usr/include/${CMAKE_CXX_LIBRARY_ARCHITECTURE})

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(PLIMSOLL_BPF_ARCH arm64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(PLIMSOLL_BPF_ARCH x86)
else()
  message(FATAL_ERROR "BPF programs are written for x86-64 and arm64, not ${CMAKE_SYSTEM_PROCESSOR}")
endif()

# plimsoll_bpf_object(<source> <arch> <out>): compiles one program for one architecture and stores
# the object's path in <out>. The DEPFILE makes every included record a dependency.
function(plimsoll_bpf_object source arch out)
  cmake_path(GET source STEM name)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/${arch}/${name}.bpf.o")
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${arch}")
  add_custom_command(
    OUTPUT "${object}"
    COMMAND ${PLIMSOLL_CLANG} ${PLIMSOLL_BPF_FLAGS} -D__TARGET_ARCH_${arch} -MD -MF "${object}.d" -MT
            "${object}" -c "${source}" -o "${object}"
    # Drops DWARF, keeps BTF: libbpf and the kernel want no more.
    COMMAND ${PLIMSOLL_LLVM_STRIP} -g "${object}"
    DEPENDS "${source}"
    DEPFILE "${object}.d"
    COMMENT "BPF ${arch} ${name}"
    VERBATIM)
  set(${out} "${object}" PARENT_SCOPE)
endfunction()

# plimsoll_bpf_skeleton(<target> <source>): <target>'s sources may include "<name>.skel.h", which
# holds the program <name>.bpf.c as struct <name>_bpf. Only that target sees it.
function(plimsoll_bpf_skeleton target source)
  cmake_path(ABSOLUTE_PATH source NORMALIZE)
  cmake_path(GET source STEM name)
  plimsoll_bpf_object("${source}" ${PLIMSOLL_BPF_ARCH} object)
  set(skeleton "${CMAKE_CURRENT_BINARY_DIR}/skeletons/${name}.skel.h")
  file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/skeletons")
  add_custom_command(
    OUTPUT "${skeleton}"
    COMMAND "${PLIMSOLL_BPFTOOL}" gen skeleton "${object}" name ${name}_bpf > "${skeleton}.new"
    COMMAND ${CMAKE_COMMAND} -E rename "${skeleton}.new" "${skeleton}"
    DEPENDS "${object}"
    COMMENT "Skeleton ${name}.skel.h"
    VERBATIM)
  target_sources(${target} PRIVATE "${skeleton}")
  target_include_directories(${target} SYSTEM PRIVATE "${CMAKE_CURRENT_BINARY_DIR}/skeletons")
endfunction()

# plimsoll_bpf_portability(<sources>...): every source is compiled for arm64 and for x86 whatever
# the machine, and a test compares what the two objects offer to the kernel.
function(plimsoll_bpf_portability)
  set(objects)
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM name)
    foreach(arch x86 arm64)
      set(${arch}_object "${CMAKE_CURRENT_BINARY_DIR}/${arch}/${name}.bpf.o")
      if(NOT arch STREQUAL PLIMSOLL_BPF_ARCH)
        plimsoll_bpf_object("${source}" ${arch} object)
        list(APPEND objects "${object}")
      endif()
    endforeach()
    add_test(NAME bpf.portable.${name}
             COMMAND "${PROJECT_SOURCE_DIR}/tests/lint/same_programs.py" "${x86_object}"
                     "${arm64_object}")
  endforeach()
  add_custom_target(plimsoll_bpf_other_arch ALL DEPENDS ${objects})
endfunction()
