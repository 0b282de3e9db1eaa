# Every target first installs what is missing (scripts/setup.sh; nothing happens when all is there).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-long differential fuzz what-works bench bench-enforcement bench-entitlement compat

# rustup's folder is not in the PATH of every shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## a private PostgreSQL with sample data, Lanyard in front, and the story played; KEEP=1 leaves it up
	@scripts/setup.sh demo
	@cargo build --package lanyard
	@cargo run --quiet --package lanyard -- demo $(if $(filter-out 0 no,$(KEEP)),--keep) $(DEMO_FLAGS)

# One build for programs and tests together, so that both use the same compiled dependencies.
test: ## unit, property and whole-system tests against a PostgreSQL that they start themselves; then a minute of fuzzing per target
	@scripts/setup.sh test
	cargo build --workspace --bins --tests
	cargo test --workspace
	scripts/fuzz.sh 60

# COUNT: generated queries of the differential proof. INPUTS: inputs per fuzz target.
test-long: export LANYARD_DIFFERENTIAL = $(or $(COUNT),100000)
test-long: export LANYARD_FUZZ = $(or $(INPUTS),2000000)
test-long: ## the tests that take too long for every change; COUNT=100000 INPUTS=2000000
	@scripts/setup.sh test
	cargo build --workspace --bins --tests --features lanyard-tests/long
	LANYARD_CASES=100000 cargo test --workspace --features lanyard-tests/long

differential: ## COUNT=100000 generated queries in pieces; goes on where it was stopped (target/differential)
	@scripts/setup.sh test
	scripts/differential.sh $(or $(COUNT),100000)

fuzz: ## the fuzz targets guided by coverage, SECONDS=600 each, two at a time
	@scripts/setup.sh test
	scripts/fuzz.sh $(or $(SECONDS),600)

what-works: export LANYARD_REGRESSION = all
what-works: export LANYARD_WHAT_WORKS = write
what-works: ## PostgreSQL's regression files, analytic questions and tools, directly and through the proxy; writes docs/what-works.md
	@scripts/setup.sh test
	cargo build --package lanyard --package lanyard-tests --bins --tests
	cargo test --package lanyard-tests --test system works::

bench-enforcement: ## what secured views cost in the database; writes docs/cost-of-enforcement.md
	@scripts/setup.sh bench
	cargo build --release --package lanyard --package lanyard-benches
	cargo run --release --quiet --package lanyard-benches -- enforcement $(BENCH_FLAGS)

# SOURCES: a folder with psycopg/ and node-postgres/, where Debian's source packages are not to be had. COMPAT_FLAGS: --suites psycopg
# measures one suite again, --suites "" writes the document alone.
compat: ## other projects' test suites, direct and through Lanyard; writes docs/compatibility.md
	@scripts/setup.sh test
	cargo build --package lanyard --package lanyard-tests --bins
	python3 tests/compat/run.py --output docs/compatibility.md $(if $(SOURCES),--sources $(SOURCES)) $(COMPAT_FLAGS)

bench-entitlement: ## what compiling one principal's entitlement costs, in steps of users, policies and columns
	@scripts/setup.sh bench
	cargo bench --package lanyard-benches --bench entitlement

# BENCH_FLAGS: parts, rounds and more (target/release/lanyard-bench --help); a part left out keeps its last numbers.
bench: ## what Lanyard costs beside PgBouncer and a bare forwarder; into benches/results, docs/charts, docs/speed.md, README
	@scripts/setup.sh bench
	cargo build --release --package lanyard --package lanyard-benches
	cargo run --release --quiet --package lanyard-benches -- $(BENCH_FLAGS)
	cargo run --release --quiet --package lanyard-benches -- publish
