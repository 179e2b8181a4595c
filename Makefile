# The commands of the project. All do their own set-up; see scripts/setup.sh.
CACHE ?= $(if $(BEDPLATE_CACHE),$(BEDPLATE_CACHE),$(HOME)/.cache/bedplate)
export CARGO_TARGET_DIR ?= $(CACHE)/target

.PHONY: quickstart test e2e setup

# Trains a small model on real text, serves it beside a real chat model and asks both. ONCE=1 ends by itself.
quickstart: setup
	@scripts/quickstart.sh

# Everything that a machine without a GPU can prove: `cargo xtask ci` lists the lanes.
test: setup
	cargo xtask ci

# The same on a real Kubernetes: helm install, kubectl apply, and what kills pods, operators and databases. Needs root.
e2e: setup
	e2e/run.sh

setup:
	@scripts/setup.sh
