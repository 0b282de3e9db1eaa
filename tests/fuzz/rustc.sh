#!/bin/sh
# Cargo's wrapper around rustc for the crates of this workspace: with the coverage that libFuzzer reads. Stable rustc has the
# pass of LLVM, only no name for it.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
