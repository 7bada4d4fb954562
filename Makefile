# One runner. `make run` serves, `make test` tests; each sets up what it needs, and does nothing where that is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= data

# What each verb needs of the system (Debian names).
BUILD_PACKAGES := gcc libc6-dev libssl-dev libxxhash-dev
TEST_PACKAGES := qemu-utils qemu-system-x86 libnbd-bin fio rclone e2fsprogs strace
DEMO_PACKAGES := qemu-system-x86 qemu-utils syslinux syslinux-common mtools dosfstools busybox-static e2fsprogs cpio fdisk
BENCH_PACKAGES := qemu-utils fio nbdkit b3sum

NATIVE := $(wildcard native/*.pyx native/*.pxd native/csrc/*)
PACKAGES := archipelago blockstore clients compute_glue native pithos_api volumes

.PHONY: run test check demo bench clean build dev format
.DEFAULT_GOAL := build

run: build ## set up and serve from DATA (default ./data)
	exec $(BIN)/archipelago serve --init --data $(DATA)

test: dev build/packages-test ## set up and run the tests
	$(BIN)/pytest -q $(PYTEST_ARGS)

check: dev ## lint, formatting, types, stubs of the native modules, C formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest native.digest native.zeros native.pages --allowlist native/stubtest-allowlist.txt
	$(BIN)/clang-format --dry-run -Werror native/csrc/*.c native/csrc/*.h

format: dev ## rewrite what `check` would complain of
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i native/csrc/*.c native/csrc/*.h

demo: build build/packages-demo ## the whole path with a real image and real VMs
	$(BIN)/python -m bench.demo

bench: dev build/packages-bench ## ours beside others, one run: ratios to build/bench.json; ONLY=pattern runs a part
	$(BIN)/python -m bench $(if $(ONLY),--only '$(ONLY)')

clean: ## remove everything that was built; data stays
	rm -rf build $(VENV) *.egg-info native/*.so .mypy_cache .ruff_cache .hypothesis
	rm -f $(patsubst %.pyx,%.c,$(wildcard native/*.pyx))

build: build/installed
dev: build/installed-dev

build/packages: Makefile .ci/install-packages
	@.ci/install-packages $(BUILD_PACKAGES)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || .ci/install-packages python3-venv
	@$(PYTHON) -c 'import sys, os, sysconfig; sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' \
	    || .ci/install-packages python3-dev
	@mkdir -p build && touch $@

build/packages-test build/packages-demo build/packages-bench: build/packages-%: Makefile build/packages
	@.ci/install-packages $(if $(filter test,$*),$(TEST_PACKAGES)) $(if $(filter demo,$*),$(DEMO_PACKAGES)) \
	    $(if $(filter bench,$*),$(BENCH_PACKAGES))
	@touch $@

$(BIN)/python: | build/packages
	$(PYTHON) -m venv $(VENV)

build/native/libblake3.a: native/build_blake3.sh | build/packages
	@sh native/build_blake3.sh

# --no-build-isolation: one compiler run per change, and no second download of Cython.
build/installed: pyproject.toml .ci/constraints.txt $(NATIVE) build/native/libblake3.a | $(BIN)/python
	$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt 'setuptools>=80' 'cython>=3.1'
	$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt --no-build-isolation -e .
	@touch $@

build/installed-dev: build/installed
	$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt --no-build-isolation -e '.[dev]'
	@touch $@
