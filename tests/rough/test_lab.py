"""Sees JupyterLab started for other machines, or without a token: whoever reaches it can run any code."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNSAFE = re.compile(
    r"allow_remote_access|disable_check_xsrf|allow_unauthenticated|password=|(token|TOKEN)\s*=\s*(''|\"\"|$|\s)|"
    r"--?ip[= ](?!localhost|127\.0\.0\.1)|ServerApp\.ip\s*=\s*['\"]?(?!localhost|127\.0\.0\.1)"
)


def lab_command() -> list[str]:
    """The recipe of `make lab`, without the path of the environment."""
    recipe = re.search(r"^lab:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M)[1]
    (line,) = recipe.strip().splitlines()
    return shlex.split(line.replace("$(VENV)/bin/", ""))


def test_what_starts_jupyter_is_for_localhost():
    """Sees an option, in the Makefile or in what is recommended, that opens the server to others."""
    assert lab_command() == ["jupyter", "lab", "notebooks", "--ip=localhost"]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() or ["Makefile", "README.md", "CONTRIBUTING.md"]
    for path in (
        ROOT / name for name in names if name.endswith((".md", ".toml", ".yml", ".ipynb", "Makefile", ".cfg"))
    ):
        lines = path.read_text().splitlines()
        assert not [line for line in lines if "jupyter" in line.lower() and UNSAFE.search(line)], path.name


def test_the_server_asks_for_a_token(tmp_path):
    """Sees a server that answers, or runs a kernel, for a visitor without the token, or that others can reach."""
    pytest.importorskip("jupyterlab")
    (tmp_path / "notebooks").mkdir()
    words = [*lab_command()[1:], "--no-browser", "--port=0"]
    if hasattr(os, "getuid") and os.getuid() == 0:
        words.append("--allow-root")  # or it does not start for root at all
    folder = Path(tempfile.mkdtemp(dir=tmp_path))  # no configuration or runtime files of this user
    known = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    own = {f"JUPYTER_{name}_DIR": str(folder) for name in ("CONFIG", "RUNTIME", "DATA")}
    log = (tmp_path / "log").open("w")
    command = [sys.executable, "-m", "jupyter", *words]
    process = subprocess.Popen(command, cwd=tmp_path, env=known | own, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 100
        while not (found := list(folder.glob("jpserver-*.json"))) and time.monotonic() < end:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        time.sleep(0.3)  # the file may just be being written
        server = json.loads(found[0].read_text())
        assert len(server["token"]) >= 40 and server["hostname"] == "localhost"
        address = f"http://localhost:{server['port']}"
        assert status(f"{address}/api/contents") == status(f"{address}/api/kernels", data=b"{}") == 403
        assert "/login" in where(f"{address}/lab") and "/login" in where(f"{address}/files/log")
        assert status(f"{address}/api/contents?token={server['token']}") == 200
        assert not reachable(server["port"])
    finally:
        process.kill()
        process.wait()
        log.close()


def opened(address: str, data: bytes | None = None):
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, data, timeout=30)


def status(address: str, data: bytes | None = None) -> int:
    try:
        with opened(address, data) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def where(address: str) -> str:
    """Where a visitor ends."""
    with opened(address) as answer:
        return answer.url


def reachable(port: int) -> bool:
    """By this machine's own address, as other machines would; False where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
            own = probe.getsockname()[0]
        except OSError:
            return False
    with socket.socket() as visitor:
        visitor.settimeout(5)
        return not own.startswith("127.") and visitor.connect_ex((own, port)) == 0
