# Everything a person or a CI runs. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

# Build output lies outside the tree, so that a fresh clone finds what an older one has built. An explicit CARGO_TARGET_DIR wins.
CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)
export CARGO_TARGET_DIR ?= $(if $(MOTHERSTREAM_TARGET),$(MOTHERSTREAM_TARGET),$(CACHE)/motherstream/target)
# What the installer may have put where no profile looks yet.
export PATH := $(HOME)/.cargo/bin:/usr/sbin:$(PATH)

# `make test T=splice` runs the tests whose names contain "splice".
T ?=

.PHONY: help run demo doctor quick test soak bench lint fmt cross cross-check image image-test image-smoke install-run install-test install-image

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

run: install-run ## build the box and start it: the page, the queue, the programme
	@cargo build --release --bin motherstream
	exec "$(CARGO_TARGET_DIR)/release/motherstream" run $(ARGS)

demo: install-test ## three synthetic streamers take turns for 90 s; the programme is recorded
	@cargo build --release --bin motherstream
	cargo build --example demo
	MOTHERSTREAM_DEMO_BOX="$(CARGO_TARGET_DIR)/release/motherstream" exec "$(CARGO_TARGET_DIR)/debug/examples/demo" $(ARGS)

doctor: install-run ## explain what is missing or wrong on this machine
	@cargo build --release --bin motherstream
	exec "$(CARGO_TARGET_DIR)/release/motherstream" doctor $(ARGS)

lint: install-test ## formatting and clippy, every warning an error
	@cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

fmt: ## format the code
	@cargo fmt

# Without what takes longer than it mostly tells: clippy of the tests (`make lint`) and the unit tests that profile `quick` of nextest leaves
# out. A T is looked for in those too.
quick: install-test ## while you write: formatting, clippy but for tests, the quick unit tests (a minute; T=splice: those, slow ones too)
	@begin=$$SECONDS
	cargo fmt --check
	cargo clippy --locked --lib --bins -- -D warnings
	cargo nextest run --locked --lib --profile quick $(if $(T),--ignore-default-filter $(T))
	echo "make quick: passed, $$((SECONDS - begin)) s. Whole-box tests, and clippy of tests: make test"

test: install-test ## everything that must hold: lint, unit, property and whole-box tests (25 minutes at most)
	@begin=$$SECONDS
	step() { echo; echo "== $$*"; }
	step "formatting"
	cargo fmt --check
	step "clippy"
	cargo clippy --locked --all-targets -- -D warnings
	lint=$$((SECONDS - begin))
	step "a real OBS"
	MOTHERSTREAM_TEST_OBS=$$(scripts/obs-root) || MOTHERSTREAM_TEST_OBS=off
	export MOTHERSTREAM_TEST_OBS
	echo "$$MOTHERSTREAM_TEST_OBS"
	prepared=$$((SECONDS - begin - lint))
	step "tests"
	cargo nextest run --locked $(T)
	tests=$$((SECONDS - begin - lint - prepared))
	step "examples in the documentation"
	cargo test --locked --doc --quiet
	step "the Buildroot tree"
	buildroot/scripts/check
	echo
	if [ -z "$${MOTHERSTREAM_TEST_SRS:-}" ]; then
	  echo "SKIPPED, NOT TESTED: everything through a real SRS, because MOTHERSTREAM_TEST_SRS names none."
	  echo "  To test it too: MOTHERSTREAM_TEST_SRS=/path/to/srs make test"
	fi
	if [ "$$MOTHERSTREAM_TEST_OBS" = off ]; then
	  echo "SKIPPED, NOT TESTED: everything with a real OBS, because scripts/obs-root gave none (it says above why)."
	fi
	echo "make test: passed. Lint $${lint} s, tests $${tests} s, in all $$((SECONDS - begin)) s. Report: target/nextest/default/junit.xml, the pages: target/browser/"

soak: install-test ## the whole-box tests at length: 400 takes, long property runs (hours)
	@MOTHERSTREAM_TEST_SOAK=1 PROPTEST_CASES=20000 cargo nextest run --locked --profile soak $(T)

bench: install-test ## the performance table, against ffmpeg in the same run (MOTHERSTREAM_BENCH_SECONDS=10: a short one)
	@cargo build --locked --release --bin motherstream
	cargo bench --locked --bench splice
	cargo bench --locked --bench box
	cargo bench --locked --bench hooks
	MOTHERSTREAM_TEST_OBS=$$(scripts/obs-root) || MOTHERSTREAM_TEST_OBS=off
	export MOTHERSTREAM_TEST_OBS
	cargo bench --locked --bench obs

cross: install-image ## the program for the images: arm64, stripped, checked, in $CARGO_TARGET_DIR/cross
	@image/cross/build "$(CARGO_TARGET_DIR)/cross"

image-test: install-image ## boot the image in a virtual machine and try it (CASES=boot,updates: some; the root is made of Debian's packages)
	@test -e "$(CARGO_TARGET_DIR)/cross/motherstream" || $(MAKE) cross
	python3 tests/image/run "$(CARGO_TARGET_DIR)/image-test"

# Without link-time optimisation the program is built in half the time; the images that people get have it.
image-smoke: install-image ## the quick part of image-test, as CI runs it: the image boots, makes a programme, updates itself, lets nobody in, is set up from a phone (40 minutes at most)
	@export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
	out="$(CARGO_TARGET_DIR)/image-smoke"
	if ! { image/cross/chroot -- true && tests/image/root >/dev/null; }; then
	  echo "SKIPPED, NOT TESTED: the image in a virtual machine, because Debian 13 could not be unpacked (it says above why)."
	  exit 0
	fi
	image/cross/build "$$out/cross"
	PROGRAM="$$out/cross/motherstream" AGAIN=1 CASES=boot,secure,itself,tryboot,asks,damaged,watchdog,trouble,updates,fallback,phone python3 tests/image/run "$$out"

cross-check: install-image ## build it twice from nothing and compare the bytes (slow)
	@image/cross/build "$(CARGO_TARGET_DIR)/cross"
	first=$$(cat "$(CARGO_TARGET_DIR)/cross/motherstream.sha256")
	rm -rf "$(CARGO_TARGET_DIR)/cross/target/aarch64-unknown-linux-gnu"
	image/cross/build "$(CARGO_TARGET_DIR)/cross"
	[ "$$first" = "$$(cat "$(CARGO_TARGET_DIR)/cross/motherstream.sha256")" ] || { echo "cross-check: two builds differ"; exit 1; }
	echo "cross-check: two builds, the same bytes: $$first"

image: ## the image of a board, with Buildroot: BOARD=rpi4, rpi5 or qemu (docs/building.md; needs the internet, hours the first time)
	@exec buildroot/scripts/image "$(BOARD)" "$(BINARY)"

install-run:
	@scripts/install run

install-test:
	@scripts/install test

install-image:
	@scripts/install image
