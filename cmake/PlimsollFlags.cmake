# SPDX-License-Identifier: Apache-2.0
# The compiler flags of our own code, as one interface target. The presets choose the build type
# and the sanitizers; everything else is the same for everybody.

if(NOT CMAKE_BUILD_TYPE)
  message(FATAL_ERROR "No build type: configure with a preset, e.g. cmake --preset release")
endif()
set(PLIMSOLL_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, set by the presets")

# The same bytes wherever the tree is checked out, so that what was tested is what is shipped.
add_compile_options(-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)

# Lines for a backtrace; variables take a quarter of the compile time and are in "debug".
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_VERIFY_INTERFACE_HEADER_SETS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

find_package(Threads REQUIRED)
add_library(plimsoll_flags INTERFACE)
target_link_libraries(plimsoll_flags INTERFACE Threads::Threads)
target_compile_options(
  plimsoll_flags
  INTERFACE -Wall
            -Wextra
            -Wpedantic
            -Wshadow
            -Wconversion
            -Wsign-conversion
            -Wold-style-cast
            -Wcast-align
            -Wnon-virtual-dtor
            -Woverloaded-virtual
            -Wformat=2
            -Wimplicit-fallthrough
            -Wzero-as-null-pointer-constant
            -Werror
            # libbpf's LIBBPF_OPTS, in a header of the system but expanded in our sources.
            $<$<CXX_COMPILER_ID:Clang>:-Wno-gnu-statement-expression;-Wno-c99-extensions>
            # In clang 14 (Debian 12) every defaulted operator<=> is one.
            $<$<AND:$<CXX_COMPILER_ID:Clang>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,19>>:-Wno-zero-as-null-pointer-constant>
            # A default on every member makes the rest of an initialiser list a choice.
            -Wno-missing-field-initializers
            -fstack-protector-strong
            -fno-omit-frame-pointer)

if(PLIMSOLL_SANITIZE)
  # Instrumented code trips gcc's flow analysis: what is an error elsewhere is not one here.
  target_compile_options(plimsoll_flags INTERFACE -fsanitize=${PLIMSOLL_SANITIZE} -fno-sanitize-recover=all
                                                  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(plimsoll_flags INTERFACE -fsanitize=${PLIMSOLL_SANITIZE})
else()
  target_compile_definitions(plimsoll_flags INTERFACE $<$<CONFIG:RelWithDebInfo>:_FORTIFY_SOURCE=2>)
  target_compile_options(plimsoll_flags INTERFACE -fstack-clash-protection)
  target_link_options(plimsoll_flags INTERFACE -Wl,-z,relro -Wl,-z,now)
endif()
