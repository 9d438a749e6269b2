# What one types here. `make help` lists the targets.

CARGO ?= cargo
WASM_TARGET = wasm32-wasip2
WASMGRID = target/release/wasmgrid
PICTURE = out/mandelbrot.png
FUZZ_TARGETS = admission frame runner
HOST = $(shell rustc -vV | sed -n "s/^host: //p")
SECONDS = 30
SEEDS = 100000
FIRST = 0
JOBS = $(shell nproc)
MINUTES = 15
MDBOOK = out/tools/bin/mdbook
MDBOOK_VERSION = 0.5.4
SEED = 1
PREFIX = /usr/local
BIN = $(PREFIX)/bin
# Where debuggers, and the binary's own backtraces, look for what was taken out of a binary beside them.
TABLES = $(BIN)/.debug
MAN = $(PREFIX)/share/man/man1
BASH = $(PREFIX)/share/bash-completion/completions
ZSH = $(PREFIX)/share/zsh/site-functions
FISH = $(PREFIX)/share/fish/vendor_completions.d
UNITS = $(PREFIX)/lib/systemd/system

.PHONY: help build install uninstall demo test bench chaos l2 lint fuzz fuzz-http sim languages book guest-target screenshots

# Lists the targets.
help:
	@awk '/^# /{text = substr($$0, 3)} /^[a-z0-9-]+:/{sub(":.*", "", $$1); if (text) printf "  make %-14s%s\n", $$1, text; text = ""} /^$$/{text = ""}' $(MAKEFILE_LIST)

# Builds the `wasmgrid` binary for release: about ten minutes on two cores the first time.
build:
	@test -e $(WASMGRID) || echo "Building wasmgrid, the first time for about ten minutes on two cores; cargo shows how far it is" >&2
	$(CARGO) build --release --locked --package wasmgrid-cli

# Puts binary, completions, manual and systemd units below PREFIX (/usr/local), behind DESTDIR. The
# binary is stripped; its symbols and line tables go beside it, if there is an objcopy.
install: $(WASMGRID)
	@set -e; made=$$(mktemp -d); trap 'rm -rf "$$made"' EXIT; umask 022; \
	  put() { install -d "$(DESTDIR)$$3"; install -m "$$1" "$$2" "$(DESTDIR)$$3/$${4:-$${2##*/}}"; }; \
	  $(WASMGRID) man "$$made/man"; \
	  for page in "$$made"/man/*; do put 644 "$$page" "$(MAN)"; done; \
	  for shell in bash zsh fish; do $(WASMGRID) completion $$shell >"$$made/$$shell"; done; \
	  put 644 "$$made/bash" "$(BASH)" wasmgrid; \
	  put 644 "$$made/zsh" "$(ZSH)" _wasmgrid; \
	  put 644 "$$made/fish" "$(FISH)" wasmgrid.fish; \
	  for unit in dist/systemd/*.service; do \
	    sed "s|/usr/local/bin/|$(BIN)/|" "$$unit" >"$$made/$${unit##*/}"; put 644 "$$made/$${unit##*/}" "$(UNITS)"; \
	  done; \
	  if command -v objcopy >/dev/null; then \
	    objcopy --only-keep-debug $(WASMGRID) "$$made/wasmgrid.debug"; \
	    objcopy --strip-all --add-gnu-debuglink="$$made/wasmgrid.debug" $(WASMGRID) "$$made/wasmgrid"; \
	    put 644 "$$made/wasmgrid.debug" "$(TABLES)"; \
	    put 755 "$$made/wasmgrid" "$(BIN)"; \
	  else put 755 $(WASMGRID) "$(BIN)" wasmgrid; fi
	@echo "wasmgrid is in $(DESTDIR)$(BIN), its manual, completions and systemd units below $(DESTDIR)$(PREFIX)" >&2

# Takes away what `make install` put there; what grids and workers keep stays.
uninstall:
	rm -f "$(DESTDIR)$(BIN)/wasmgrid" "$(DESTDIR)$(TABLES)/wasmgrid.debug" "$(DESTDIR)$(MAN)"/wasmgrid.1 "$(DESTDIR)$(MAN)"/wasmgrid-*.1
	rm -f "$(DESTDIR)$(BASH)/wasmgrid" "$(DESTDIR)$(ZSH)/_wasmgrid" "$(DESTDIR)$(FISH)/wasmgrid.fish"
	rm -f "$(DESTDIR)$(UNITS)"/wasmgrid-server.service "$(DESTDIR)$(UNITS)"/wasmgrid-worker.service

$(WASMGRID):
	$(MAKE) build

# Makes HTML of the book in out/book; it reads as it is, too. Without mdbook on the PATH, one is built
# into out/tools, a few minutes the first time.
book:
	@command -v mdbook >/dev/null || test -x $(MDBOOK) || \
	  $(CARGO) install --quiet --locked --root $(dir $(MDBOOK)).. --version $(MDBOOK_VERSION) --no-default-features --features search mdbook
	@if command -v mdbook >/dev/null; then mdbook build docs/book; else $(MDBOOK) build docs/book; fi

# Adds the target that tasks are compiled to, where it is missing.
guest-target:
	@rustc --print target-libdir --target $(WASM_TARGET) | xargs test -d || rustup target add $(WASM_TARGET)

# Counts the primes below 10^9 and draws a picture, on a grid of its own.
demo: build guest-target
	@echo "Counting the primes below 10^9 ..." >&2
	@set -e; counts=$$($(WASMGRID) run --local examples/primes --range 0..1000); \
	  echo "$$counts" | awk '{sum += $$1} END {printf "%d\n", sum}'
	@echo "Drawing the Mandelbrot set ..." >&2
	@mkdir -p $(dir $(PICTURE))
	@$(WASMGRID) run --local examples/mandelbrot --range 0..48 -o $(PICTURE:.png=.txt)
	@$(WASMGRID) run --local examples/picture <$(PICTURE:.png=.txt) >$(PICTURE)
	@echo "The picture is in $(PICTURE)" >&2
	@echo "To look at a grid in a browser: $(WASMGRID) up, and then, in another terminal, $(WASMGRID) ui" >&2

# Runs every test, those of the examples too; two for each core at a time, as most wait.
test: guest-target
test: export RUST_TEST_THREADS ?= $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
test:
	$(CARGO) test --workspace --locked
	$(CARGO) test --manifest-path examples/Cargo.toml --workspace --locked

# Lives through SEEDS (1000) simulated worlds from FIRST (1) on, and names the first that does not hold.
l2: SEEDS = 1000
l2: FIRST = 1
l2:
	WASMGRID_L2_FIRST=$(FIRST) WASMGRID_L2_SEEDS=$(SEEDS) $(CARGO) test --workspace --locked --test l2 -- a_hundred --nocapture

# Compares the grid with the bare sandbox, its targets and its peers: ARGS="--quick --json FILE SECTION...".
bench: guest-target
	$(CARGO) build --release --locked --workspace --bins --examples
	$(CARGO) bench --locked --workspace --bench grid -- $(ARGS)

# Runs jobs on a grid with a fault every 10 to 30 s, for MINUTES (15), and holds the results.
chaos: guest-target
	$(CARGO) build --release --locked --workspace --bins --examples
	target/release/examples/chaos --minutes $(MINUTES) --seed $(SEED)

# Asks the HTTP interface whatever its OpenAPI document allows and forbids, for SECONDS (60); needs python3.
fuzz-http: SECONDS = 60
fuzz-http: guest-target
	fuzz/http/run $(SECONDS)

# Takes the README's pictures of the pages anew, of a run; needs Chromium and its driver.
screenshots: guest-target
	$(CARGO) build --release --locked --workspace --bins --examples
	target/release/examples/screenshots docs/images

# Installs what examples and programs in other languages are built with, where npm and python3 are there.
languages:
	@if command -v npm >/dev/null; then for example in assemblyscript-collatz javascript-orders; do (cd examples/$$example && npm ci --no-audit --no-fund) || exit 1; done; else echo "npm is not installed: no AssemblyScript and no JavaScript" >&2; fi
	@if command -v python3 >/dev/null; then for folder in examples/python-statistics tests/programs; do (cd $$folder && python3 -m venv .venv && .venv/bin/pip install --quiet --requirement requirements.txt) || exit 1; done; else echo "python3 is not installed: no Python and no Go" >&2; fi
	@if command -v rustup >/dev/null; then rustup target add wasm32-wasip1; fi

# Fuzzes admission, frames and the runner's messages, SECONDS (30) each.
fuzz:
	$(CARGO) run --quiet --locked --manifest-path fuzz/generate/Cargo.toml -- corpus fuzz/corpus
	RUSTC_WRAPPER=$(CURDIR)/fuzz/instrument.sh $(CARGO) build --locked --manifest-path fuzz/Cargo.toml --target $(HOST)
	@mkdir -p fuzz/found
	@set -e; for target in $(FUZZ_TARGETS); do \
	  echo "Fuzzing $$target for $(SECONDS) s ..." >&2; \
	  fuzz/target/$(HOST)/debug/$$target fuzz/corpus/$$target -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 \
	    -max_len=65536 -artifact_prefix=fuzz/found/$$target- -print_final_stats=1 -verbosity=0; \
	done

# Simulates SEEDS (100000) worlds from seed FIRST (0) on, JOBS at a time.
sim:
	$(CARGO) run --release --locked --package wasmgrid-sim -- --seeds $(SEEDS) --first $(FIRST) --jobs $(JOBS)

# Holds the format, the lints, the docs and, where cargo-deny is installed, the licenses.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path examples/Cargo.toml --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) fmt --manifest-path guest-sdk/bindings/Cargo.toml --check
	$(CARGO) fmt --manifest-path fuzz/generate/Cargo.toml --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --manifest-path examples/Cargo.toml --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny check; else echo "cargo-deny is not installed: licenses and advisories were not checked" >&2; fi
