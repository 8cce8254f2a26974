# Two commands do everything on a fresh machine with Rust and a C compiler: `make demo` and `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
GUESTS := $(TARGET)/guests/wasm32-wasip2/release
EXAMPLES := $(TARGET)/examples
# Tests read the guests and the examples from here, and the harness the program.
export CAMPANILE_GUESTS := $(GUESTS)
export CAMPANILE_EXAMPLES := $(EXAMPLES)
export CAMPANILE_BIN := $(TARGET)/debug/campanile
export CARGO_TERM_COLOR ?= auto

# The plugins that come with the program: every folder in plugins/. Engines recurse and have link settings of their
# own in their folder, so they are built from there.
ENGINES := minijinja
PLUGINS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard plugins/*/Cargo.toml)))
CHANNELS := $(filter-out $(ENGINES),$(PLUGINS))
TEST_GUESTS := $(notdir $(patsubst %/Cargo.toml,%,$(wildcard tests/guests/*/Cargo.toml)))
GUEST_PACKAGES := $(addprefix campanile-plugin-,$(CHANNELS)) $(addprefix campanile-guest-,$(TEST_GUESTS))
GUEST_BUILD := cargo build --release --locked --target wasm32-wasip2 --target-dir $(TARGET)/guests

NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
RUN_TESTS := cargo nextest run --locked --no-fail-fast
LEAVE_OUT = -E 'not test(/^($(subst $(space),|,$(NEED_MORE)))::/)'
else
RUN_TESTS := cargo test --locked --no-fail-fast --lib --bins --tests
LEAVE_OUT = -- $(addprefix --skip ,$(addsuffix ::,$(NEED_MORE)))
endif
# The rooms of tests/it that need more than Rust and a C compiler: `make setup-test` sees to it.
NEED_MORE := languages registry webhooks
space := $(subst ,, )

STEP := .ci/step

.PHONY: help setup setup-test examples contract-docs contract-sample guests build demo test test-core quick fmt-check clippy clippy-guests doc unit deny clean

help: ## Lists what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup:
	@command -v cargo >/dev/null || { echo "error: Rust is not installed; see https://rustup.rs" >&2; exit 2; }
	@command -v cc >/dev/null || { echo "error: no C compiler (cc) found; SQLite is compiled from source. On Debian: apt-get install -y gcc" >&2; exit 2; }
	@rustc --print target-libdir --target wasm32-wasip2 2>/dev/null | xargs -r test -d \
	  || rustup target add wasm32-wasip2 \
	  || { echo "error: plugins need the Rust target wasm32-wasip2, and it could not be added; run: rustup target add wasm32-wasip2" >&2; exit 2; }

setup-test: setup
	@.ci/setup-test

guests: setup ## Builds every plugin and test guest, once, in release
	@$(STEP) guests $(GUEST_BUILD) $(addprefix -p ,$(GUEST_PACKAGES))
	@for engine in $(ENGINES); do (cd plugins/$$engine && ../../$(STEP) guests-$$engine $(GUEST_BUILD) -p campanile-plugin-$$engine) || exit 1; done

# Plugins in other languages. Their toolchains stay in the folder (Node.js) and in the target folder (Python).
JS := examples/channel-js
PYTHON := examples/channel-python
VENV := $(EXAMPLES)/venv
CONTRACT := $(wildcard wit/*.wit)

examples: setup-test ## Builds and tests the example plugins in JavaScript and Python
	@$(MAKE) --no-print-directory $(addprefix $(EXAMPLES)/,discord.wasm discord-fetch.wasm ntfy.wasm)

$(JS)/node_modules/.package-lock.json: $(JS)/package.json $(JS)/package-lock.json
	@cd $(JS) && ../../$(STEP) npm npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

JS_SOURCES := $(JS)/node_modules/.package-lock.json $(wildcard $(JS)/src/*.js $(JS)/test/*.js $(JS)/wit/*.wit) $(CONTRACT)

$(EXAMPLES)/discord.wasm: $(JS_SOURCES)
	@mkdir -p $(@D)
	@cd $(JS) && ../../$(STEP) test-js node --test --test-reporter=dot test/
	@cd $(JS) && ../../$(STEP) channel-js npm run build --silent -- $@

$(EXAMPLES)/discord-fetch.wasm: $(JS_SOURCES)
	@mkdir -p $(@D)
	@cd $(JS) && ../../$(STEP) channel-js-fetch npm run build:fetch --silent -- $@

$(VENV)/installed: $(PYTHON)/requirements.txt tests/requirements.txt
	@$(STEP) venv python3 -m venv $(VENV)
	@$(STEP) pip $(VENV)/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	@touch $@

$(EXAMPLES)/ntfy.wasm: $(VENV)/installed $(wildcard $(PYTHON)/src/*.py $(PYTHON)/tests/*.py $(PYTHON)/wit/*.wit) $(CONTRACT)
	@rm -rf $(EXAMPLES)/bindings
	@$(VENV)/bin/componentize-py -q -d $(PYTHON)/wit -w ntfy bindings $(EXAMPLES)/bindings
	@PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$(PYTHON)/src:$(EXAMPLES)/bindings $(STEP) test-python $(VENV)/bin/python -m unittest discover -q -s $(PYTHON)/tests
	@$(STEP) channel-python $(VENV)/bin/componentize-py -q -d $(PYTHON)/wit -w ntfy componentize -p $(PYTHON)/src channel -o $@

build: guests ## Builds target/release/campanile and its plugins beside it
	@$(STEP) release cargo build --release --locked -p campanile
	@mkdir -p $(TARGET)/release/plugins
	@cd $(GUESTS) && cp $(addsuffix .wasm,$(PLUGINS)) $(TARGET)/release/plugins/
	@echo "built $(TARGET)/release/campanile with plugins: $(PLUGINS)"

demo: build ## Shows the whole story on this machine, in under half a minute
	@$(TARGET)/release/campanile demo --exit

test: setup-test ## Everything: format, lints, guests, examples, unit, integration and documentation tests
	@$(MAKE) --no-print-directory fmt-check clippy guests examples clippy-guests doc unit

test-core: ## As `test`, with Rust and a C compiler only
	@$(MAKE) --no-print-directory fmt-check clippy guests unit FILTER=core
	@echo "left out of test-core: documentation tests, lints of the guests, plugins in JavaScript and Python, plugins out of a registry, webhooks as an independent receiver judges them"

quick: ## Before each commit: format, lints, tests of the library and the plugins
	@$(MAKE) --no-print-directory fmt-check clippy guests
	@$(STEP) quick $(RUN_TESTS) --workspace --exclude campanile-tests

fmt-check:
	@$(STEP) fmt cargo fmt --all --check

clippy: setup
	@$(STEP) clippy cargo clippy --locked --workspace --all-targets -- -D warnings

clippy-guests: setup
	@$(STEP) clippy-guests cargo clippy --locked --target wasm32-wasip2 $(addprefix -p campanile-plugin-,$(PLUGINS)) $(addprefix -p campanile-guest-,$(TEST_GUESTS)) -- -D warnings

# The whole workspace in each step: another choice of packages is another set of features, and builds wasmtime anew.
doc:
	@$(STEP) doc-tests cargo test --locked --workspace --doc

unit: guests
	@$(STEP) program cargo build --locked --workspace --bins --tests
	@$(STEP) embed $(TARGET)/debug/embed $(GUESTS)
	@$(STEP) tests $(RUN_TESTS) --workspace $(if $(filter core,$(FILTER)),$(LEAVE_OUT))

contract-docs: ## Writes wit/CONTRACT.md anew from the contract
	@CAMPANILE_BLESS=1 cargo test --locked --workspace --test it -- contract::

# Once for each version, when it is frozen: its text, and a plugin that uses everything of it.
VERSION := $(shell sed -n 's/^package campanile:plugin@\(.*\);/\1/p' wit/worlds.wit)
FROZEN := tests/contract/$(VERSION)
contract-sample: guests ## Freezes the contract: keeps its text and its sample plugin in tests/contract
	@test ! -e $(FROZEN).wasm || { echo "error: contract $(VERSION) is frozen, its plugin is never built again; a new contract needs a new version in wit/worlds.wit" >&2; exit 2; }
	@cat wit/worlds.wit $(filter-out wit/worlds.wit,$(sort $(CONTRACT))) > $(FROZEN).wit
	@cp $(GUESTS)/sample.wasm $(FROZEN).wasm
	@echo "kept $(FROZEN).wit and $(FROZEN).wasm; commit both, and say so in wit/README.md"

deny: ## Licences, bans and sources of all dependencies; needs cargo-deny
	@command -v cargo-deny >/dev/null || { echo "error: run: cargo install --locked cargo-deny" >&2; exit 2; }
	cargo deny check licenses bans sources

clean: ## Removes what was built, the guests included
	cargo clean
