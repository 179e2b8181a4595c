# The two commands of the project. Both do their own set-up; see scripts/setup.sh.
CACHE ?= $(if $(BEDPLATE_CACHE),$(BEDPLATE_CACHE),$(HOME)/.cache/bedplate)
export CARGO_TARGET_DIR ?= $(CACHE)/target

.PHONY: test setup
setup:
	@scripts/setup.sh

test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- --deny warnings
	cargo test --workspace
