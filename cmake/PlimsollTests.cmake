# SPDX-License-Identifier: Apache-2.0
# Who builds and runs what under tests/. A test file that none of these takes stops the configure
# step: a test that is not built is worse than none.
include(GoogleTest)

set(PLIMSOLL_VM_KERNELS "6.1;6.12" CACHE STRING "Kernels that the VM tests boot")
set(plimsoll_all plimsoll_agent_commands plimsoll_agent_record plimsoll_kube plimsoll_bpf
                 plimsoll_cgroup plimsoll_base)

# What is not shipped is built fast: docs/decisions/0020-build-time.md.
add_library(plimsoll_test_flags INTERFACE)
target_link_libraries(plimsoll_test_flags INTERFACE plimsoll_flags)
target_compile_options(plimsoll_test_flags INTERFACE
                       $<$<CONFIG:RelWithDebInfo>:-O0;-U_FORTIFY_SOURCE>)

# plimsoll_together(<targets>...): several sources at once, for most of a small source is its
# headers. Each has a namespace of its own, which scripts/check-layers sees to. Not in the preset
# "debug", where each source is compiled alone and the includes of each are proven.
function(plimsoll_together)
  if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" OR PLIMSOLL_SANITIZE)
    set_target_properties(${ARGN} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    foreach(target IN LISTS ARGN)
      # A source is a header there, and has types in unnamed namespaces nevertheless.
      target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
    endforeach()
  endif()
endfunction()

# tests/fake_<name>/*.cc: what stands for a part of Kubernetes, as a library for tests and as the
# program fake-<program>.
function(plimsoll_fake name program)
  file(GLOB sources CONFIGURE_DEPENDS "fake_${name}/*.cc")
  list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/fake_${name}/main.cc")
  add_library(plimsoll_fake_${name} STATIC ${sources})
  target_include_directories(plimsoll_fake_${name} PUBLIC "${PROJECT_SOURCE_DIR}")
  target_link_libraries(plimsoll_fake_${name} PUBLIC plimsoll_base nlohmann_json::nlohmann_json ${ARGN}
                                              PRIVATE plimsoll_test_flags OpenSSL::SSL yaml-cpp)
  plimsoll_together(plimsoll_fake_${name})
  add_executable(fake-${program} "fake_${name}/main.cc")
  target_link_libraries(fake-${program} PRIVATE plimsoll_fake_${name} plimsoll_test_flags
                                                CLI11::CLI11)
  set_target_properties(fake-${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                                                   "${PROJECT_BINARY_DIR}/bin")
endfunction()

# tests/support/*.cc: fakes and fixtures, linked into every test.
function(plimsoll_test_support)
  file(GLOB sources CONFIGURE_DEPENDS "support/*.cc")
  add_library(plimsoll_test_support STATIC ${sources})
  target_link_libraries(plimsoll_test_support PUBLIC ${plimsoll_all} nlohmann_json::nlohmann_json
                                                     GTest::gmock OpenSSL::SSL plimsoll_fake_kubelet
                                                     plimsoll_fake_api
                        PRIVATE plimsoll_test_flags)
  set_source_files_properties(support/source_path.cc PROPERTIES COMPILE_DEFINITIONS
                              PLIMSOLL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endfunction()

# tests/<folder>/*.cc with at least one *_test.cc: one executable plimsoll_<folder>_tests, and
# tests/agent/<room>/*.cc: plimsoll_agent_<room>_tests.
function(plimsoll_unit_tests)
  file(GLOB tests CONFIGURE_DEPENDS "*/*_test.cc" "agent/*/*_test.cc")
  set(folders)
  foreach(test IN LISTS tests)
    cmake_path(GET test PARENT_PATH folder)
    list(APPEND folders "${folder}")
  endforeach()
  list(REMOVE_DUPLICATES folders)
  foreach(path IN LISTS folders)
    file(RELATIVE_PATH folder "${CMAKE_CURRENT_SOURCE_DIR}" "${path}")
    if(folder MATCHES "^(support|storm|vm|lint|fake_api|fake_kubelet)$")
      continue()
    endif()
    string(REPLACE "/" "_" name "${folder}")
    string(REPLACE "/" "." prefix "${folder}")
    file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.cc")
    add_executable(plimsoll_${name}_tests ${sources})
    target_link_libraries(plimsoll_${name}_tests PRIVATE plimsoll_test_support plimsoll_test_flags
                                                         GTest::gtest_main)
    plimsoll_together(plimsoll_${name}_tests)
    # At test time, not at build time: a build on another machine must not run what it built.
    gtest_discover_tests(
      plimsoll_${name}_tests
      TEST_PREFIX ${prefix}.
      DISCOVERY_MODE PRE_TEST
      PROPERTIES TIMEOUT 120 LABELS unit)
    set_property(GLOBAL APPEND PROPERTY PLIMSOLL_TEST_SOURCES ${sources})
  endforeach()
endfunction()

# tests/sim/: the simulated cluster around the node agent's own code, as the program `simulator`.
# Built fast to run, for it runs a million histories. What it links in the place of the product's own
# (the clock, /proc, the poster of Events) comes before the libraries that have it.
function(plimsoll_simulator)
  file(GLOB sources CONFIGURE_DEPENDS "sim/*.cc")
  add_executable(simulator ${sources})
  target_link_libraries(simulator PRIVATE plimsoll_test_support plimsoll_flags CLI11::CLI11)
  set_target_properties(simulator PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  # What once broke something.
  file(GLOB histories CONFIGURE_DEPENDS "sim/histories/*.txt")
  foreach(history IN LISTS histories)
    cmake_path(GET history STEM name)
    add_test(NAME sim.${name} COMMAND simulator --replay "${history}")
    set_tests_properties(sim.${name} PROPERTIES LABELS unit TIMEOUT 120)
  endforeach()
  # Always the same, as many as a minute of one CPU is enough for; scripts/simulate runs more.
  set(seeds 2000)
  if(PLIMSOLL_SANITIZE)
    set(seeds 200)
  endif()
  add_test(NAME sim.histories COMMAND simulator --histories ${seeds})
  set_tests_properties(sim.histories PROPERTIES LABELS unit TIMEOUT 900)
endfunction()

# tests/storm/: the loads and their driver, static so that they run in any initramfs. They carry no
# sanitizer: what a storm allocates must be what the kernel sees.
function(plimsoll_storm_programs)
  file(GLOB shared CONFIGURE_DEPENDS "storm/*.cc")
  foreach(program load driver)
    file(GLOB sources CONFIGURE_DEPENDS "storm/storm_${program}*.cc")
    list(REMOVE_ITEM shared ${sources})
    set(${program}_sources ${sources})
  endforeach()
  foreach(program load driver)
    add_executable(storm-${program} ${${program}_sources} ${shared})
    target_include_directories(storm-${program} PRIVATE "${PROJECT_SOURCE_DIR}")
    target_compile_options(storm-${program} PRIVATE -Wall -Wextra -Wshadow -Werror)
    target_link_libraries(storm-${program} PRIVATE Threads::Threads tl::expected
                                                   nlohmann_json::nlohmann_json)
    target_link_options(storm-${program} PRIVATE -static)
    set_target_properties(
      storm-${program} PROPERTIES POSITION_INDEPENDENT_CODE OFF
                                  RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  endforeach()
  # What it looks at takes its time elsewhere.
  target_compile_options(storm-driver PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0>)
endfunction()

# plimsoll_vm_test(<name> <command>...): the command runs in a guest, once per kernel, with
# plimsoll, storm-load and storm-driver in /bin. A kernel that complains (hung task, stall, warning)
# fails the test, whatever the command said. Alone it boots a guest of its own; after the batch that it
# is in (below) it tells what it came to there. They take longest, so they are begun first.
function(plimsoll_vm_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ADD;COMMAND")
  set(add ${arg_ADD})
  foreach(program plimsoll storm-load storm-driver)
    list(APPEND add --add "$<TARGET_FILE:${program}>:/bin/${program}")
  endforeach()
  list(JOIN add "\n" lines)
  list(JOIN arg_COMMAND "\n" command)
  file(GENERATE OUTPUT "vm/${name}.args" CONTENT "${lines}\n--\n${command}\n")
  foreach(kernel IN LISTS PLIMSOLL_VM_KERNELS)
    add_test(NAME vm.${name}.${kernel}
             COMMAND "${PROJECT_SOURCE_DIR}/tests/vm/run" --kernel ${kernel} --strict-console --once
                     --timeout 1200 --name vm-${name}-${kernel} ${add} -- ${arg_COMMAND})
    # Longer than the harness gives the guest, so that it is the harness that ends it and says why.
    set_tests_properties(vm.${name}.${kernel} PROPERTIES LABELS vm COST 100 TIMEOUT 1500)
  endforeach()
endfunction()

# Tests of one kernel that share a guest, one after the other, as even as CPU time goes; what is in
# none (a test that leaves the kernel changed) has a guest of its own.
set(plimsoll_vm_batches storms kills pods programs commands)
set(plimsoll_vm_batch_storms agent_storm agent_announce)
set(plimsoll_vm_batch_kills agent_kills agent_kubelet agent_floors)
set(plimsoll_vm_batch_pods agent_versions agent_restart agent_cpu agent_update)
set(plimsoll_vm_batch_programs engine exec_programs cpu_programs engine_shared cgroup pod_cgroups
                               scope)
set(plimsoll_vm_batch_commands run_main run_growth run_cpu run_announce failsafe_agent
                               failsafe_denied bench_programs)
function(plimsoll_vm_batch_tests)
  foreach(kernel IN LISTS PLIMSOLL_VM_KERNELS)
    foreach(batch IN LISTS plimsoll_vm_batches)
      list(TRANSFORM plimsoll_vm_batch_${batch} PREPEND "${CMAKE_CURRENT_BINARY_DIR}/vm/"
           OUTPUT_VARIABLE files)
      list(TRANSFORM files APPEND ".args")
      add_test(NAME vm.batch.${batch}.${kernel} COMMAND "${PROJECT_SOURCE_DIR}/tests/vm/batch"
                                                        ${kernel} ${batch} ${files})
      set_tests_properties(vm.batch.${batch}.${kernel} PROPERTIES LABELS vm COST 200 TIMEOUT 3600)
      list(TRANSFORM plimsoll_vm_batch_${batch} REPLACE "(.+)" "vm.\\1.${kernel}" OUTPUT_VARIABLE tests)
      # Only an order: named alone, a test runs alone.
      set_tests_properties(${tests} PROPERTIES DEPENDS vm.batch.${batch}.${kernel} COST 1)
    endforeach()
  endforeach()
endfunction()

# tests/vm/<name>_vmtest.cc: a GoogleTest program of its own; tests/vm/<name>.sh: a script, which
# sources /bin/checks.
function(plimsoll_vm_tests)
  file(GLOB sources CONFIGURE_DEPENDS "vm/*_vmtest.cc")
  foreach(source IN LISTS sources)
    cmake_path(GET source STEM name)
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE plimsoll_test_support plimsoll_test_flags
                                          GTest::gtest_main)
    string(REGEX REPLACE "_vmtest$" "" short "${name}")
    plimsoll_vm_test(${short} ADD --add "$<TARGET_FILE:${name}>:/bin/${name}" COMMAND /bin/${name})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY PLIMSOLL_TEST_SOURCES ${sources})

  file(GLOB scripts CONFIGURE_DEPENDS "vm/*.sh")
  foreach(script IN LISTS scripts)
    cmake_path(GET script STEM name)
    set(programs)
    if(name MATCHES "^agent_")
      foreach(fake apiserver kubelet)
        list(APPEND programs --add "$<TARGET_FILE:fake-${fake}>:/bin/fake-${fake}")
      endforeach()
      list(APPEND programs --add "${PROJECT_SOURCE_DIR}/tests/vm/lib/agent_node:/bin/agent_node")
    endif()
    if(name STREQUAL "bench_programs")
      foreach(bench reaction overhead footprint)
        list(APPEND programs --add "$<TARGET_FILE:bench-${bench}>:/bin/bench-${bench}")
      endforeach()
    endif()
    plimsoll_vm_test(${name} ADD --add "${script}:/bin/${name}.sh"
                                 --add "${PROJECT_SOURCE_DIR}/tests/vm/lib/checks:/bin/checks"
                                 ${programs}
                     COMMAND /bin/sh /bin/${name}.sh)
  endforeach()

  plimsoll_vm_batch_tests()

  # What guests with systemd run: tests/vm/lib/<guest>.
  add_executable(systemd-tell vm/systemd_tell.cc)
  target_link_libraries(systemd-tell PRIVATE plimsoll_agent_systemd plimsoll_agent_pods
                                             plimsoll_flags)
  set_target_properties(systemd-tell PROPERTIES RUNTIME_OUTPUT_DIRECTORY
                                                "${PROJECT_BINARY_DIR}/bin")
  foreach(kernel IN LISTS PLIMSOLL_VM_KERNELS)
    foreach(guest systemd_guest systemd_units_guest)
      string(REGEX REPLACE "_guest$" "" name "${guest}")
      add_test(NAME vm.${name}.${kernel} COMMAND "${PROJECT_SOURCE_DIR}/tests/vm/systemd" ${kernel}
                                                 "${PROJECT_BINARY_DIR}/bin" ${guest})
      set_tests_properties(vm.${name}.${kernel} PROPERTIES LABELS vm COST 100 TIMEOUT 1500)
    endforeach()
  endforeach()
  # The harness is the same on every kernel.
  list(GET PLIMSOLL_VM_KERNELS 0 kernel)
  add_test(NAME vm.harness.${kernel} COMMAND "${PROJECT_SOURCE_DIR}/tests/vm/lib/self_test" --once
                                             ${kernel})
  set_tests_properties(vm.harness.${kernel} PROPERTIES LABELS vm COST 150 TIMEOUT 1500)
endfunction()

# Stops when a file that is named like a test or a benchmark is in no target.
function(plimsoll_check_every_test_has_a_target)
  file(GLOB folders LIST_DIRECTORIES true "${PROJECT_SOURCE_DIR}/[a-z]*")
  list(FILTER folders EXCLUDE REGEX "/build[^/]*$")
  get_property(claimed GLOBAL PROPERTY PLIMSOLL_TEST_SOURCES)
  set(orphans)
  foreach(folder IN LISTS folders)
    if(IS_DIRECTORY "${folder}")
      file(GLOB_RECURSE found CONFIGURE_DEPENDS "${folder}/*_test.cc" "${folder}/*_vmtest.cc"
           "${folder}/*_bench.cc")
      list(APPEND orphans ${found})
    endif()
  endforeach()
  list(REMOVE_ITEM orphans ${claimed})
  if(orphans)
    list(JOIN orphans "\n  " names)
    message(FATAL_ERROR "In no target, so they would never run:\n  ${names}\nUnit tests live in "
                        "tests/<folder>/, VM tests in tests/vm/, benchmarks in bench/.")
  endif()
endfunction()

# Each part of scripts/lint as a test, and each against trees that break it.
function(plimsoll_lint_tests)
  set(tests)
  foreach(part format layers spdx shell canary)
    add_test(NAME lint.${part} COMMAND "${PROJECT_SOURCE_DIR}/scripts/lint" --${part})
    list(APPEND tests lint.${part})
  endforeach()
  foreach(part format layers spdx shell canary tests)
    add_test(NAME lint.refuses.${part} COMMAND "${PROJECT_SOURCE_DIR}/tests/lint/selftest.py"
                                               ${part})
    list(APPEND tests lint.refuses.${part})
  endforeach()
  add_test(NAME lint.summary COMMAND "${PROJECT_SOURCE_DIR}/tests/lint/summary_test.py")
  list(APPEND tests lint.summary)
  set_tests_properties(${tests} PROPERTIES LABELS lint TIMEOUT 300 SKIP_RETURN_CODE 77)
endfunction()

# What scripts/image makes of this build, looked at and run. Sanitized binaries are not shipped.
function(plimsoll_image_test)
  if(PLIMSOLL_SANITIZE)
    return()
  endif()
  add_test(NAME image.archive COMMAND "${PROJECT_SOURCE_DIR}/tests/image/archive.py"
                                      "${PROJECT_BINARY_DIR}")
  set_tests_properties(image.archive PROPERTIES LABELS unit TIMEOUT 300)
endfunction()
