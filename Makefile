# The verbs of this repository. `make help` lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# CI sets CI=true.
NEXTEST_PROFILE ?= $(if $(CI),ci,default)
# What `make test ARGS=…` passes on to cargo nextest: a filter, for one.
ARGS ?=
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
TARGET = $(shell cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

.PHONY: help setup build run demo test test-long test-foreign test-projquota test-clients storm lint fmt bench bench-tree \
	bench-files bench-reclaim clean venv

help: ## Show the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the other verbs need, or say what to install
	@scripts/setup.sh all

build: ## Build both services for use
	@scripts/setup.sh run
	cargo build --release -p vfolder-manager -p vfolder-storage-proxy

run: ## Start both services on loopback, with their data in .data
	@scripts/setup.sh run
	@scripts/run.sh

demo: ## Watch the main job done on a real tree
	@scripts/setup.sh run
	cargo build --release -p vfolder-tests --bins
	@"$(TARGET)/release/demo"

test: ## Run all tests, on SQLite and on PostgreSQL
	@scripts/setup.sh test
	cargo nextest run --workspace --no-run
	"$(TARGET)/debug/with-postgres" cargo nextest run --workspace --profile $(NEXTEST_PROFILE) $(ARGS)
	cargo test --workspace --doc --quiet
	$(if $(ARGS),,@scripts/test-projquota.sh quick --if-possible)

test-long: test-foreign test-projquota ## The same with many more rounds of the races, and the suites of others
	@scripts/setup.sh test
	cargo nextest run --workspace --no-run
	VFOLDER_TEST_LONG=1 "$(TARGET)/debug/with-postgres" cargo nextest run --workspace --profile long $(ARGS)

test-foreign: ## Run pjdfstest and fsx in cloned trees, and build crates from a clone of cargo's registry
	@scripts/setup.sh foreign
	cargo nextest run -p vfolder-storage-proxy --profile long --run-ignored only -E 'test(/^suites::/)'

test-projquota: ## Run the tests of tasks and files on ext4 and XFS with project quotas, in User-mode Linux
	@scripts/setup.sh run
	@scripts/test-projquota.sh all

test-clients: venv ## Run foreign clients (grpcurl, Python) against both services
	cargo build -p vfolder-tests --bins
	VFOLDER_TEST_SYSTEM="$(TARGET)/debug/test-system" $(VENV)/bin/pytest -q tests/clients $(ARGS)

# DURATION (seconds, 60), SEED (drawn and printed), MANAGERS (3), CLIENTS (8); RELEASE=1: as built for use; KEEP=1: keep the
# histories of a storm that found nothing, too.
storm: ## Kill, pause and cut off everything for a while, and check what is left
	@scripts/setup.sh test
	cargo build $(if $(RELEASE),--release) -p vfolder-tests --bins
	@DURATION="$(DURATION)" SEED="$(SEED)" MANAGERS="$(MANAGERS)" CLIENTS="$(CLIENTS)" \
		"$(TARGET)/$(if $(RELEASE),release,debug)/storm"

venv: $(VENV)/complete

$(VENV)/complete: tests/clients/requirements.txt
	@scripts/setup.sh clients
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

lint: venv ## Check formatting, lints, documentation and .proto files
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	$(VENV)/bin/buf lint proto
	$(VENV)/bin/shellcheck scripts/*.sh .ci/run

fmt: ## Format the code
	cargo fmt --all

bench: ## Say which benchmarks there are
	@echo "make bench-tree   cloning and removing trees, against cp, rsync, tar, cpz, xcp, fcp, rm and rmz; writes docs/benchmarks.md"
	@echo "make bench-files  bytes in and out of a vfolder, beside bare tonic and nginx; writes docs/benchmarks-files.md"
	@echo "make bench-reclaim  what a session feels of a purge in the background"

# FILESYSTEMS (ext4 xfs btrfs), CASES (A B C D E F), PEERS, ROUNDS (5), SCALE (1: inputs so many times smaller), EXTRAS=0
# (the tables only), LONG=1 (memory at ten million files), PLACE (/dev/shm: up to 12 GiB of memory), OUT, KEEP (a file with what
# was measured before: it is done in parts); QUICK=1: a glance at A and B on ext4, that writes nothing.
bench-tree: ## Measure cloning and removing trees against other tools; takes hours, as root
	@scripts/setup.sh run
	cargo build --release -p vfolder-storage-proxy -p vfolder-bench
	@scripts/bench-peers.sh "$(TARGET)/bench-peers"
	@FILESYSTEMS="$(or $(FILESYSTEMS),$(if $(QUICK),ext4))" CASES="$(or $(CASES),$(if $(QUICK),A B))" \
		PEERS="$(PEERS)" ROUNDS="$(or $(ROUNDS),$(if $(QUICK),1))" SCALE="$(SCALE)" LONG="$(LONG)" PLACE="$(PLACE)" KEEP="$(KEEP)" \
		EXTRAS="$(or $(EXTRAS),$(if $(QUICK),0))" OUT="$(or $(OUT),$(if $(QUICK),,docs/benchmarks.md))" \
		PATH="$(TARGET)/bench-peers/bin:$$PATH" "$(TARGET)/release/bench-tree"

# SIZE (4096 MiB; as much memory twice, and 512 MiB), CHUNK (1024 KiB), ROUNDS (5), WAYS (only those with this in their names),
# PARALLEL_SIZE (1024 MiB, 0: none), PLACE (/dev/shm), PARALLEL_PLACE (/var/tmp, 17 times PARALLEL_SIZE), OUT.
bench-files: ## Measure reading and writing files, directly and by way of the manager; needs nginx and curl
	@scripts/setup.sh run
	cargo build --release -p vfolder-tests --bins
	@SIZE="$(SIZE)" CHUNK="$(CHUNK)" ROUNDS="$(ROUNDS)" WAYS="$(WAYS)" PARALLEL_SIZE="$(PARALLEL_SIZE)" PLACE="$(PLACE)" \
		PARALLEL_PLACE="$(PARALLEL_PLACE)" OUT="$(or $(OUT),docs/benchmarks-files.md)" "$(TARGET)/release/bench-files"

bench-reclaim: ## Measure what a session feels of a purge in the background; as root
	@scripts/setup.sh run
	cargo bench -p vfolder-storage-proxy --bench reclaim

clean: ## Remove what was built and installed here; .data, with its vfolders, stays
	cargo clean
	rm -rf $(VENV)
