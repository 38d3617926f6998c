"""The live panel in a running JupyterLab: only a browser can see that a figure is not drawn anew."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
SOURCE = """
import sys, time
sys.path.insert(0, {tests!r})
from synthetic_search import synthetic_trace
from flatlib.display.searches import show_live
from flatlib.search.config import SearchConfig
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS
for seed in (0, 1):
    trace = synthetic_trace(DARTS, 3)
    for n in range(1, 4):
        show_live(SearchConfig(epochs=3, seed=seed), SearchTrace(trace.epochs[:n], trace.alphas[:n + 1]))
        time.sleep(1)
"""
TITLES = "[...document.querySelectorAll('.jp-OutputArea .gtitle')].map((title) => title.textContent)"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab on a notebook with one cell."""
    source = SOURCE.format(tests=str(Path(__file__).parents[1]))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(source)], metadata=kernel), tmp_path / "panel.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "jupyter", "lab", *options, "--IdentityProvider.token=T"]
    with open(tmp_path / "lab.log", "w") as log:
        home = os.environ | {"HOME": str(tmp_path)}
        server = subprocess.Popen(command, cwd=tmp_path, env=home, stdout=log, stderr=log)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/lab/tree/panel.ipynb?token=T&reset"
    server.terminate()
    server.wait(20)


def test_the_panel_is_drawn_anew_after_each_epoch(lab):
    """Sees a panel that stays at its first epoch in JupyterLab, or below that of the search before."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    seen: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.goto(lab)
        page.wait_for_selector(".jp-Notebook .cm-content", timeout=60_000)
        page.wait_for_selector("text=/Python 3.*Idle/", timeout=60_000, state="attached")
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (seen and "seed 1epoch 3 of 3" in seen[-1]):
            shown = " | ".join(page.evaluate(TITLES))
            seen += [shown] if [shown] != seen[-1:] else []
            time.sleep(0.1)
        browser.close()
    epochs = [n for n in range(1, 4) if any(f"seed 0epoch {n} of 3" in shown for shown in seen)]
    assert len(epochs) >= 2 and epochs[-1] == 3, seen
    assert "seed 1epoch 3 of 3" in seen[-1] and "seed 0" not in seen[-1]
