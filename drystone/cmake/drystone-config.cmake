# Models compiled by drystone as libraries.
#
#   find_package(Python3 REQUIRED COMPONENTS Interpreter)
#   execute_process(COMMAND ${Python3_EXECUTABLE} -m drystone.cmake
#                   OUTPUT_VARIABLE drystone_DIR OUTPUT_STRIP_TRAILING_WHITESPACE)
#   find_package(drystone REQUIRED)
#   drystone_add_model(classifier MODEL classifier.dry)
#   target_link_libraries(program PRIVATE classifier)      # and #include "classifier.h"
#
# DRYSTONE_COMMAND: how drystone is called, as a list; by default by the Python that CMake finds.

if(NOT DRYSTONE_COMMAND)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  set(DRYSTONE_COMMAND "${Python3_EXECUTABLE}" -m drystone.cli)
endif()
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# drystone_add_model(<target> MODEL <file> [BUILD <drystone.toml>])
#
# Adds a static library that has a compiled model inside, its code and its weights: programs need no file of it.
# <target>.h declares what it gives, under names that begin with <target>_; any number of models can be in one
# program. It is made anew when the artifact changes. BUILD: the file that lists the artifact, which is then
# itself built (`drystone build`) whenever what it is made of has changed.
function(drystone_add_model target)
  cmake_parse_arguments(PARSE_ARGV 1 given "" "MODEL;BUILD" "")
  if(given_UNPARSED_ARGUMENTS OR given_KEYWORDS_MISSING_VALUES OR NOT given_MODEL)
    message(FATAL_ERROR "drystone_add_model(<target> MODEL <file> [BUILD <drystone.toml>]), not (${ARGV})")
  endif()
  if(NOT target MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
    message(FATAL_ERROR "drystone_add_model: ${target} is no name in C: use letters, digits and _")
  endif()
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if(NOT "C" IN_LIST languages)
    message(FATAL_ERROR "drystone_add_model: ${target} is compiled as C: say project(.. LANGUAGES C)")
  endif()
  get_filename_component(model "${given_MODEL}" ABSOLUTE)
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/${target}.drystone")
  set(parts "${folder}/${target}.model.h" "${folder}/${target}.so" "${folder}/${target}.safetensors")
  set(built "")
  if(given_BUILD)
    get_filename_component(listing "${given_BUILD}" ABSOLUTE)
    set(built "${target}_build")
    add_custom_target(${built}
      COMMAND ${DRYSTONE_COMMAND} -q build "${listing}" --only "${model}"
      BYPRODUCTS "${model}"
      COMMENT "Building ${model} where what it is made of changed"
      VERBATIM)
  elseif(NOT EXISTS "${model}")
    message(FATAL_ERROR "drystone_add_model: there is no file ${model}; BUILD names what builds it")
  endif()
  add_custom_command(
    OUTPUT "${folder}/${target}.c" "${folder}/${target}.h" ${parts}
    COMMAND ${DRYSTONE_COMMAND} -q unpack "${model}" "${folder}" --embed "${target}"
    DEPENDS "${model}" ${built}
    COMMENT "Unpacking ${model}"
    VERBATIM)
  add_library(${target} STATIC "${folder}/${target}.c" "${folder}/${target}.h")
  set_source_files_properties("${folder}/${target}.c" PROPERTIES OBJECT_DEPENDS "${parts}")
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_compile_definitions(${target} PRIVATE "DRYSTONE_FOLDER=\"${folder}\"")
  target_compile_features(${target} PRIVATE c_std_11)
  target_include_directories(${target} PUBLIC "${folder}")
  target_link_libraries(${target} PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
endfunction()
