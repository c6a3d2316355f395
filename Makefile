# make demo: the whole road once, on a clip that is drawn here. make test: everything the tests need, and all of them.
# make test-arm: the ARM kernels under qemu (apt install qemu-user gcc-aarch64-linux-gnu clang).
# make test-termux: an arm64 system as on a phone, under qemu, as root (apt install debootstrap qemu-user-static).
# make reference: pages of what every module, class and function is for, from their docstrings, in build/reference.
# make lib: the C library and stdo-y4m in build/, without Python; make install-lib PREFIX=... installs them.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# pytest runs a process for each core and one more, as tests wait for programs half of their time; idle threads of BLAS
# spin; worksteal keeps a file's tests, and so what they share, together in one process.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
# Tests make, sync and remove thousands of files, and would wait for a disk a quarter of their time: where three
# gigabytes of memory may hold files, and programs among them, theirs go there. A run that failed leaves them.
SCRATCH = /dev/shm/stdo-tests$(subst /,-,$(CURDIR))
IN_MEMORY := $(shell try=/dev/shm/stdo-try.$$$$; cp /bin/true $$try 2>/dev/null && $$try && \
    [ $$(df -Pk /dev/shm | awk 'NR == 2 { print $$4 }') -gt 3000000 ] && echo yes; rm -f $$try)
ONE_THREAD = OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

.PHONY: demo test test-arm test-termux lint reference lib install-lib clean

$(VENV)/installed: pyproject.toml setup.py build.py MANIFEST.in $(shell find csrc -name "*.[ch]" -o -name "*.inc")
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/stdo demo demo.mp4 --force
	$(BIN)/stdo encode demo.mp4 demo.mkv --scale 2 --budget 60s --report --force
	$(BIN)/stdo decode demo.mkv demo-hr.mp4 --force
	$(BIN)/stdo eval demo.mp4 demo.mkv --picture demo.png --force
	@echo "demo.mkv plays anywhere; demo-hr.mp4 is it upscaled; demo.png shows bicubic, stdo and source side by side"
	@echo "open demo.html: before and after, nets and map, bytes, PSNR along time, training"

test: $(VENV)/installed
	$(ONE_THREAD) $(BIN)/python -m pytest -rs -n $(WORKERS) --dist worksteal $(if $(IN_MEMORY),--basetemp="$(SCRATCH)")
	$(if $(IN_MEMORY),rm -rf "$(SCRATCH)")

test-arm: $(VENV)/installed
	STDO_TEST_ARM=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/test_arm.py

test-termux: $(VENV)/installed
	bash tests/termux.sh $(abspath $(BIN)/python)

lint: $(VENV)/installed
	$(BIN)/ruff check .

reference: $(VENV)/installed
	$(BIN)/python docs/reference.py build/reference
	@echo "open build/reference/stdo_min.html"

lib:
	$(MAKE) -C csrc

install-lib:
	$(MAKE) -C csrc install

clean:
	rm -rf $(VENV) build dist *.egg-info stdo_min/_stdo* demo.mp4 demo.mkv demo-hr.mp4 demo.png demo.html
