# `make demo` and `make test` do everything on a machine with Python (>= 3.10), a C++ compiler and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Waiting threads that spin would slow everything down where several processes share the cores.
demo test test-lowest test-emulated test-sanitized docs: export OMP_WAIT_POLICY ?= PASSIVE
# Compiling for every architecture takes minutes; `make wheel CMLFAST_CUDA_ARCHITECTURES=all` does.
export CMLFAST_CUDA_ARCHITECTURES ?= native
PIP := $(BIN)/python -m pip --disable-pip-version-check
CPP_SOURCES := $(shell find csrc tests/simt -name '*.h' -o -name '*.cpp' -o -name '*.inl' -o -name '*.cu' -o -name '*.cuh')
SOURCES := setup.py pyproject.toml $(shell find csrc -type f)

.PHONY: demo test test-lowest test-sanitized test-tsan fuzz test-emulated instructions cuda-check gpu-check lint \
	supply-chain wheel docs bench accuracy clean

# Without the map where its libraries have no wheels.
demo: $(VENV)/package
	@$(MAKE) --no-print-directory $(VENV)/map || echo "the libraries of the map cannot be installed here"
	$(BIN)/python -m cmlfast_cli.demo

test: $(VENV)/test
	$(BIN)/python -m pytest -n auto --dist loadfile

# What does not take seconds, with the lowest versions of all packages.
LOWEST := .venv-lowest
test-lowest: $(LOWEST)/ready
	$(LOWEST)/bin/python -m pytest -n auto --dist loadfile -m "not slow" $(addprefix tests/,data features training serving \
	evaluation pictures model tuning cli)

$(LOWEST)/ready: $(VENV)/package constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install --quiet -r constraints-lowest.txt
	touch $@

# The CUDA kernels' source on the CPU under AddressSanitizer, UBSan and a race detector; `test` runs it without those.
test-emulated: $(VENV)/test
	cd tests && ../$(BIN)/python -m simt.check

# The CPU's kernels under AddressSanitizer and UBSan: the operators' tests, then random cases of them.
# SANITIZED="--minutes 60" tries more of these.
test-sanitized: $(VENV)/test
	cd tests && ../$(BIN)/python -m sanitized_cpu $(SANITIZED)

# The CPU's kernels under ThreadSanitizer, and that it sees a race: TSAN="--minutes 10" tries more random cases.
test-tsan: $(VENV)/test
	cd tests && ../$(BIN)/python -m tsan_cpu $(TSAN)

# Operators with random arguments, readers with damaged files, random command lines: FUZZ="--minutes 10" of
# processor time for each. Readers with inputs that grow by what they reach too, after `make .venv/fuzz`.
fuzz: $(VENV)/test
	cd tests && ../$(BIN)/python -m ops.fuzz $(FUZZ) && ../$(BIN)/python -W ignore -m data.fuzz $(FUZZ) && \
	../$(BIN)/python -W ignore -m cli.fuzz $(FUZZ) && ../$(BIN)/python -W ignore -m data.guided $(FUZZ)

# A training step's instructions, counted by valgrind, against the stored budget; `-m benchmarks.instructions --update`
# stores a new one. Says so where valgrind is missing or another compiler has built the extension.
instructions: $(VENV)/package
	$(BIN)/python -m benchmarks.instructions

# What nvcc makes of the CUDA kernels: registers, spills, loads by width, occupancy, against the plan. Needs no GPU.
# CUDA_CHECK="--arch 90" is for one architecture.
cuda-check: $(VENV)/cuda-check
	$(BIN)/python -m benchmarks.gpu.cuda_check $(CUDA_CHECK)

# On a machine with a GPU: the operators' tests, NVIDIA's sanitizer and the benchmarks, unattended, in one report. By
# the system's Python where that has a torch that finds the GPU, and all else that is needed; nothing is installed then.
# GPU_CHECK="--minutes 10 speeds" passes options.
gpu-check:
	@$(PYTHON) -c "import hypothesis, pytest_benchmark" 2> /dev/null && $(PYTHON) -m benchmarks.gpu.gpu_check.machine \
	> /dev/null 2>&1; case $$? in \
	0 | 3) $(PYTHON) -m benchmarks.gpu.gpu_check $(GPU_CHECK);; \
	*) $(MAKE) $(VENV)/test $(VENV)/bench && $(BIN)/python -m benchmarks.gpu.gpu_check $(GPU_CHECK);; esac

lint: $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(CPP_SOURCES)
	$(BIN)/mypy
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

# Licences of all that is installed with the package and its extras, and advisories where the service can be reached.
supply-chain: $(VENV)/lint $(VENV)/test
	$(BIN)/python .ci/supply_chain.py

# Builds the wheel and shows that it holds to Python's limited API, so that one binary serves every CPython >= 3.10.
wheel: $(VENV)/lint
	rm -rf dist
	$(PIP) wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .
	$(BIN)/abi3audit --strict --report dist/*.whl

# The site of docs/, its notebooks run; a warning is an error. One thread for each of the notebooks that run at once. What
# they train on is fetched first, so that the build itself needs no network.
DOCS := build/docs
docs: export OMP_NUM_THREADS := 1
docs: $(VENV)/docs
	$(BIN)/python -c "from cmlfast import datasets; datasets.load('movielens-100k')"
	$(BIN)/sphinx-build -W --keep-going -q -E -j 2 -b html -d $(DOCS).doctrees docs $(DOCS)
	@echo "$(CURDIR)/$(DOCS)/index.html"

bench: $(VENV)/bench
	$(BIN)/python -m pytest benchmarks/ --benchmark-only

accuracy: $(VENV)/bench
	$(BIN)/python -m benchmarks.accuracy

$(VENV)/tools: constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt torch "setuptools>=77" wheel ninja
	touch $@

# The package is installed editable: the extension is compiled into the source tree. The plain path of the compat mode
# lets Python find it from any folder, also from one that has a clone of this name in it.
$(VENV)/package: $(VENV)/tools $(SOURCES)
	$(PIP) install --quiet --no-build-isolation -c constraints.txt --config-settings editable_mode=compat -e .
	touch $@

$(VENV)/%: $(VENV)/package
	$(PIP) install --quiet --no-build-isolation -c constraints.txt --config-settings editable_mode=compat -e ".[$*]"
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) build dist *.egg-info cmlfast/*.so
