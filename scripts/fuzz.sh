#!/usr/bin/env bash
# The fuzz targets under libFuzzer, on stable Rust, two at a time:
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]   60 seconds for each of frames startup policy judge; what it learns stays in target/fuzz-work
#   scripts/fuzz.sh merge [TARGET...]       puts the smallest set of what was learned into tests/fuzz/corpus
#
# Fails at the first input that breaks a promise, panics, takes over 10 seconds or 2 GB, and says where the input lies; put it
# into tests/fuzz/corpus/TARGET, and every test run tries it. The crates of the workspace are built with coverage, and the C of
# PostgreSQL's parser too where clang is there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"

seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(frames startup policy judge)
work=${CARGO_TARGET_DIR:-target}/fuzz-work
program=${CARGO_TARGET_DIR:-target}/fuzz/guided

build() {
    if command -v clang >/dev/null; then
        export CC=clang CFLAGS=-fsanitize-coverage=inline-8bit-counters,pc-table,trace-cmp
    else
        echo "fuzz: no clang, so PostgreSQL's parser is built without coverage"
    fi
    RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/rustc.sh \
        cargo build --quiet --profile fuzz --package lanyard-tests --bin guided --features lanyard-tests/guided
}

learn() { # TARGET: one line of what was tried; all of it in $work/TARGET/log
    local target=$1 folder=$work/$1 code=0
    mkdir -p "$folder/learned" "$folder/found"
    LANYARD_FUZZ_TARGET=$target LANYARD_FUZZ_SEEDS=$folder "$program" >"$folder/log" 2>&1
    LANYARD_FUZZ_TARGET=$target "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -dict="$folder/words" -artifact_prefix="$folder/found/" \
        "$folder/learned" "$folder/seeds" "tests/fuzz/corpus/$target" >"$folder/log" 2>&1 || code=$?
    awk -v target="$target" '
        /^#[0-9]+.* cov: / { for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1); else if ($i == "corp:") kept = $(i + 1) }
        /number_of_executed_units/ { inputs = $2 }
        /peak_rss_mb/ { memory = $2 }
        /^Done [0-9]+ runs in/ { took = $5 }
        END { printf "fuzz %s: %d inputs in %d s, %d places reached, %s kept, %d MB at most\n", target, inputs, took, covered, kept, memory }
    ' "$folder/log"
    if [ $code != 0 ]; then
        tail -n 40 "$folder/log"
        echo "fuzz $target: FAILED ($code); the input: $(ls -t "$folder"/found/* 2>/dev/null | head -n 1)"
        return 1
    fi
}

merge() { # TARGET
    local target=$1 folder=$work/$1 corpus=tests/fuzz/corpus/$1
    mkdir -p "$folder/learned" "$folder/merged"
    LANYARD_FUZZ_TARGET=$target LANYARD_FUZZ_SEEDS=$folder "$program" >"$folder/log" 2>&1
    rm -f "$folder"/merged/*
    # What the seeds reach need not be kept.
    cp "$folder"/seeds/* "$folder/merged"
    LANYARD_FUZZ_TARGET=$target "$program" -set_cover_merge=1 -use_counters=0 -timeout=10 -rss_limit_mb=2048 \
        "$folder/merged" "$corpus" "$folder/learned" >"$folder/log" 2>&1 || { tail -n 20 "$folder/log"; return 1; }
    for seed in "$folder"/seeds/*; do rm -f "$folder/merged/$(basename "$seed")"; done
    rm -f "$corpus"/*
    cp "$folder"/merged/* "$corpus"
    echo "fuzz $target: $(ls "$corpus" | wc -l) inputs kept, $(cat "$corpus"/* | wc -c) bytes"
}

stop() {
    trap - EXIT INT TERM
    local running
    running=$(jobs -p)
    # Each job is a shell and the program it runs.
    for job in $running; do pkill -P "$job" 2>/dev/null || true; done
    [ -z "$running" ] || kill $running 2>/dev/null || true
    wait
}
trap 'stop; exit 130' INT TERM
trap stop EXIT

build
if [ "$seconds" = merge ]; then
    for target in "${targets[@]}"; do merge "$target"; done
    exit
fi
failed=
for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || failed=1; done
    learn "$target" &
done
while [ "$(jobs -rp | wc -l)" -gt 0 ]; do wait -n || failed=1; done
[ -z "$failed" ]
