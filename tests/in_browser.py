"""Chromium on an exported page, with the network off, and on JupyterLab."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def offline_page(browser, path: Path, **options) -> Iterator:
    """A page from disk; at the end, nothing left the disk, failed or was complained about."""
    context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    yield page
    context.close()
    assert not complaints
    assert requests and all(url.startswith(("file:", "data:")) for url in requests)


@contextmanager
def jupyter_lab(folder: Path, home: Path, notebook: str) -> Iterator[str]:
    """JupyterLab on this machine only, with a home of its own: the address to open."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG_"))}
    env |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    options = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token=t0ken"]
    command = [sys.executable, "-m", "jupyterlab", *options, "--allow-root", f"--ServerApp.root_dir={folder}"]
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        _wait_for(server, port, home / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/tree/{notebook}?token=t0ken&reset"
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(server: subprocess.Popen, port: int, log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            pytest.fail(log.read_text()[-2000:])
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def run_all(page, address: str) -> None:
    """Open a notebook in JupyterLab and run all its cells."""
    page.goto(address)
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for(timeout=60_000)  # earlier, Jupyter asks for a kernel
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
