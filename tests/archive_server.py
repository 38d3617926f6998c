"""A server on 127.0.0.1 that sends an archive of one file, or what a test asks for instead."""

import hashlib
import io
import os
import socket
import tarfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flatlib.data.fetch import SOURCES, Source, fetch

CONTENT = np.random.default_rng(0).bytes(500_001)
PART, WHOLE = "archive.tar.gz.part", ["archive.tar.gz", "images"]


def archive(name: str = "images/a.bin") -> bytes:
    """With one file of this name."""
    packed, member = io.BytesIO(), tarfile.TarInfo(name)
    member.size = len(CONTENT)
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.addfile(member, io.BytesIO(CONTENT))
    return packed.getvalue()


ARCHIVE = archive()
STATE = r"; \d\.\d of 0\.5 MB are there, and the same command resumes$"


class Server(ThreadingHTTPServer):
    """Sends `body`; `stop_at`: bytes of an answer after which it `hangs` or cuts the connection."""

    body, status, stop_at, hangs, ranges, says_length = ARCHIVE, 200, None, False, True, True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.stopped, self.release = [], threading.Event(), threading.Event()

    def handle_error(self, request, client_address):
        pass  # the client hung up


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked[len("bytes=") : -1]) if asked and server.ranges else 0
        answer = server.body[start:]
        self.send_response(206 if start else server.status)
        if server.says_length:
            self.send_header("Content-Length", str(len(answer)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        self.end_headers()
        self.wfile.write(answer[: server.stop_at])
        self.wfile.flush()
        if server.stop_at is not None:
            server.stopped.set()
            _ = server.hangs and server.release.wait(30)

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def no_other_network(monkeypatch):
    """Every address but 127.0.0.1 is out of reach; no proxy of this machine is used."""
    known = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server(monkeypatch):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/archive.tar.gz"
        source = Source(url, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest(), "images")
        monkeypatch.setitem(SOURCES, "cifar10", source)
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


def fetched(folder: Path) -> bytes:
    return (fetch("cifar10", folder)[0] / "a.bin").read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
