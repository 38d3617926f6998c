# make: run the notebooks and write reports/index.html   make test: the tests   make lab: JupyterLab
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# An independent Hessian for one test. Without its own dependencies, which pull in another torch.
ORACLE := curvlinops-for-pytorch einconv einops linear_operator

.PHONY: reports test lab sanitize clean
reports: $(READY)
	$(VENV)/bin/flatlib report

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto

# The kernels' tests under the address and undefined-behavior sanitizers
sanitize: $(READY)
	FLATLIB_KERNEL_FLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined" ASAN_OPTIONS=detect_leaks=0 \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" \
	$(VENV)/bin/python -m pytest tests/test_kernels.py -k "gradient or bits or lanes"

lab: $(READY)
	$(VENV)/bin/jupyter lab notebooks --ip=localhost

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bo,cluster,dev]'
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps $(ORACLE)
	touch $@

clean:
	rm -rf $(VENV)
