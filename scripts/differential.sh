#!/usr/bin/env bash
# The long differential proof in pieces, so that what was asked counts even when the run is cut short:
#
#   scripts/differential.sh [COUNT] [FOLDER]      COUNT generated queries (100000), results in FOLDER (target/differential)
#
# FOLDER gets a copy of the programs when it has none, and keeps it: later builds do not change what is being proven, and a
# second start goes on where the first ended. Each piece is one run of the test over its own range of seeds and leaves the
# line it printed. Stops at the first piece that fails; what it said is in FOLDER/<first seed>.failed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin"

count=${1:-100000}
folder=${2:-target/differential}
piece=2500

# The test looks for the proxy two folders up from itself, as Cargo lays them out.
if [ ! -e "$folder/deps/system" ]; then
    mkdir -p "$folder/deps"
    cargo build --package lanyard --bins
    system=$(cargo test --package lanyard-tests --test system --no-run --message-format json |
        sed -n 's/.*"target":{[^}]*"name":"system".*"executable":"\([^"]*\)".*/\1/p')
    cp "$(dirname "$system")/../lanyard" "$folder/lanyard"
    git describe --always --dirty >"$folder/version" 2>/dev/null || true
    cp "$system" "$folder/deps/system"
fi

sum() {
    cat "$folder"/*.done 2>/dev/null | awk -v version="$(cat "$folder/version")" '
        { gsub(/,/, "") }
        match($0, /and [0-9]+ generated/) { asked += substr($0, RSTART + 4, RLENGTH - 14) }
        match($0, /[0-9]+ with rows/) { with_rows += substr($0, RSTART, RLENGTH - 10) }
        match($0, /[0-9]+ rows failed/) { rows += substr($0, RSTART, RLENGTH - 12) }
        match($0, /[0-9]+ unanswered/) { unanswered += substr($0, RSTART, RLENGTH - 11) }
        match($0, /[0-9]+ different/) { different += substr($0, RSTART, RLENGTH - 10) }
        match($0, /[0-9]+ s$/) { seconds += substr($0, RSTART, RLENGTH - 2) }
        END { printf "%s: %d pieces, %d generated queries, %d answers with rows, %d rows, %d unanswered, %d different; %d s\n", \
            version, NR, asked, with_rows, rows, unanswered, different, seconds }'
}
trap 'sum; exit 130' INT TERM

for ((first = 1; first <= count; first += piece)); do
    [ -e "$folder/$first.done" ] && continue
    size=$((count - first + 1 < piece ? count - first + 1 : piece))
    if ! LANYARD_SEED=$first LANYARD_DIFFERENTIAL=$size "$folder/deps/system" --exact --nocapture \
        differential::governed_answers_are_those_of_a_copy_filtered_and_masked_by_hand >"$folder/$first.log" 2>&1 </dev/null; then
        mv "$folder/$first.log" "$folder/$first.failed"
        sum
        echo "failed: $folder/$first.failed" >&2
        exit 1
    fi
    grep '^unanswered: ' "$folder/$first.log" >>"$folder/unanswered" || true
    grep '^differential: ' "$folder/$first.log" >"$folder/$first.part"
    mv "$folder/$first.part" "$folder/$first.done"
    rm "$folder/$first.log"
done
sum
