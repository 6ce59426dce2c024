# Two commands on a fresh machine with Rust: `make demo` and `make test`. Both install what is missing.

CACHE := $(or $(WELLSPRING_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/wellspring)
# Outside the clone, so that a second clone builds in minutes.
export CARGO_TARGET_DIR ?= $(CACHE)/target
# Python with stock Kafka, Arrow and safetensors clients and one for the browser, for the tests that read as a user does.
export WELLSPRING_TEST_PYTHON ?= $(CACHE)/python/bin/python
# Mesa's software GPU complains without one.
export XDG_RUNTIME_DIR ?= /tmp

.PHONY: help demo test build format lint packages-build packages-test python
.DEFAULT_GOAL := help

help: ## lists these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | expand -t 12

demo: packages-build ## synthetic users through the whole service, page on http://127.0.0.1:8686
	cargo run --release --locked --bin wellspring -- demo --config wellspring.toml --rate 2000 --stay

test: packages-test python ## formatting, lints and every test, on lavapipe and a real Kafka
	cargo fmt --all --check
	cargo clippy --release --locked --all-targets -- -D warnings
	cargo test --release --locked -- --skip faults_kafka
	# One at a time: what a time-out means depends on who else needs the two cores.
	cargo test --release --locked -- faults_kafka --test-threads=1

build: packages-build ## the release binary
	cargo build --release --locked --bin wellspring

format: ## formats all code
	cargo fmt --all

lint: packages-build ## the lints alone
	cargo clippy --release --locked --all-targets -- -D warnings

packages-build:
	@.ci/packages cmake c++ make perl

packages-test:
	@.ci/packages cmake c++ make perl lavapipe java mvn python3 chromium

python: $(CACHE)/python/.complete
$(CACHE)/python/.complete: tests/requirements.txt
	python3 -m venv $(CACHE)/python
	$(CACHE)/python/bin/pip install --quiet --requirement $<
	touch $@
