"""Archives fetched from a server on 127.0.0.1: what is kept, what is refused, and that it says so in one line."""

import hashlib
import io
import os
import re
import socket
import sys
import tarfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flatlib.cli import main
from flatlib.data import fetch as module
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


def test_an_archive_comes_whole_and_is_not_fetched_twice(server, tmp_path):
    """Sees a changed byte, a part file left over, or a second download of what is there."""
    target, there = fetch("cifar10", tmp_path / "new" / "folder")
    assert (target / "a.bin").read_bytes() == CONTENT and names(target.parent) == WHOLE and not there
    assert fetch("cifar10", target.parent) == (target, True) and server.asked == [None]


def test_the_default_folder(server, tmp_path, monkeypatch):
    """Sees $FLATLIB_DATA overlooked, or an empty one taken for the root."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLATLIB_DATA", str(tmp_path / "mine"))
    assert fetch("cifar10")[0] == tmp_path / "mine" / "images"
    monkeypatch.setenv("FLATLIB_DATA", "")
    assert fetch("cifar10")[0] == Path("data/images")


@pytest.mark.parametrize("says_length", [True, False])
def test_a_cut_connection_resumes(server, tmp_path, says_length):
    """Sees a cut taken for the end, kept bytes asked for again, or the rest put at a wrong place."""
    server.stop_at, server.says_length = 200_000, says_length
    with pytest.raises(RuntimeError, match="the connection was cut" + STATE):
        fetch("cifar10", tmp_path)
    assert names(tmp_path) == [PART] and (tmp_path / PART).read_bytes() == ARCHIVE[:200_000]
    server.stop_at = None
    assert fetched(tmp_path) == CONTENT
    assert names(tmp_path) == WHOLE and server.asked == [None, "bytes=200000-"]


def test_an_archive_that_lies_there_is_unpacked_and_writes_nowhere_else(server, tmp_path, monkeypatch):
    """Sees a network that is asked in vain, or a member that lands outside of the folder."""
    (tmp_path / "archive.tar.gz").write_bytes(ARCHIVE)
    assert fetched(tmp_path) == CONTENT and names(tmp_path) == WHOLE and not server.asked
    evil, data = archive("../outside"), tmp_path / "data"
    data.mkdir()
    (data / "archive.tar.gz").write_bytes(evil)
    monkeypatch.setitem(SOURCES, "cifar10", SOURCES["cifar10"]._replace(sha256=hashlib.sha256(evil).hexdigest()))
    with pytest.raises(tarfile.TarError):
        fetch("cifar10", data)
    assert names(tmp_path) == ["archive.tar.gz", "data", "images"] and names(data) == ["archive.tar.gz"]


def test_a_server_without_range_starts_over(server, tmp_path):
    """Sees the whole archive appended to the part that was there."""
    server.ranges = False
    (tmp_path / PART).write_bytes(b"x" * 300_000)
    assert fetched(tmp_path) == CONTENT and server.asked == ["bytes=300000-"]


@pytest.mark.parametrize("size", [len(ARCHIVE), len(ARCHIVE) + 1])
def test_a_whole_part_is_verified_without_the_network(server, tmp_path, size):
    """Sees a request past the end (416) that could never resume, or a part too long that is never removed."""
    (tmp_path / PART).write_bytes((ARCHIVE + b"x")[:size])
    if size == len(ARCHIVE):
        assert fetched(tmp_path) == CONTENT
    else:
        with pytest.raises(ValueError, match="wrong checksum"):
            fetch("cifar10", tmp_path)
        assert not names(tmp_path)
    assert not server.asked


@pytest.mark.parametrize("resumed", [False, True])
def test_a_wrong_checksum_is_removed(server, tmp_path, resumed):
    """Sees wrong content under the right name, or a bad part that every later run resumes."""
    server.body = ARCHIVE if resumed else ARCHIVE[:-1] + bytes([ARCHIVE[-1] ^ 1])
    if resumed:
        (tmp_path / PART).write_bytes(b"x" * 1000)
    with pytest.raises(ValueError, match="wrong checksum, what came is removed"):
        fetch("cifar10", tmp_path)
    assert not names(tmp_path)
    server.body = ARCHIVE
    assert fetched(tmp_path) == CONTENT


def test_another_length_is_refused_before_a_byte_is_written(server, tmp_path):
    """Sees a network's login page kept as the archive's beginning."""
    server.body = b"<html>log in</html>"
    (tmp_path / PART).write_bytes(ARCHIVE[:10])
    server.ranges = False
    with pytest.raises(ValueError, match="not the archive, 19 bytes"):
        fetch("cifar10", tmp_path)
    assert (tmp_path / PART).read_bytes() == ARCHIVE[:10]


def test_an_endless_answer_ends(server, tmp_path, monkeypatch):
    """Sees a disk filled by a server that names no length."""
    server.body, server.says_length = ARCHIVE * 3, False
    known, sizes = module.is_right, []
    monkeypatch.setattr(
        module, "is_right", lambda path, source: (sizes.append(path.stat().st_size), known(path, source))[1]
    )
    with pytest.raises(ValueError, match="wrong checksum"):
        fetch("cifar10", tmp_path)
    assert not names(tmp_path) and sizes[0] < len(ARCHIVE) + module.CHUNK


def test_an_error_page_is_not_the_archive(server, tmp_path):
    """Sees a 404 written to the disk, or a line without the server's answer."""
    server.status = 404
    with pytest.raises(RuntimeError, match="HTTP Error 404: Not Found" + STATE):
        fetch("cifar10", tmp_path / "new")
    assert not names(tmp_path)


def test_a_silent_server_and_no_network(server, tmp_path, monkeypatch):
    """Sees a download that waits for ever, or a missing network that is a traceback."""
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    server.stop_at, server.hangs = 200_000, True
    with pytest.raises(RuntimeError, match="timed out" + STATE):
        fetch("cifar10", tmp_path)
    with pytest.raises(RuntimeError, match=r"Name or service not known; 0\.0 of 168\.5 MB are there"):
        fetch("cifar100", tmp_path)
    assert names(tmp_path) == [PART] and ARCHIVE.startswith((tmp_path / PART).read_bytes())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line(server, tmp_path):
    """Sees a full disk that gives the archive its name, or that is not named."""
    (tmp_path / PART).symlink_to("/dev/full")
    with pytest.raises(RuntimeError, match="No space left on device" + STATE):
        fetch("cifar10", tmp_path)
    assert names(tmp_path) == [PART]


def test_what_is_in_the_way_stays(server, tmp_path):
    """Sees a user's file overwritten or removed, a folder made of a file, or a name that is guessed."""
    (tmp_path / "archive.tar.gz").write_text("mine")
    with pytest.raises(ValueError, match="there, but with a wrong checksum; move it away"):
        fetch("cifar10", tmp_path)
    with pytest.raises(OSError, match=r"archive\.tar\.gz"):
        fetch("cifar10", tmp_path / "archive.tar.gz")
    with pytest.raises(ValueError, match="no data set 'cifar' to fetch; there are cifar10, cifar100"):
        fetch("cifar", tmp_path)
    assert names(tmp_path) == ["archive.tar.gz"] and (tmp_path / "archive.tar.gz").read_text() == "mine"


def test_the_command_in_one_line(server, tmp_path, monkeypatch, capsys):
    """Sees an exit code of 0 for a failure, a traceback, a bar in a log, or a help without its example."""

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["flatlib", "data", "fetch", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    folder = ("--folder", str(tmp_path))
    for told in ("complete", "there already"):
        expected = f"{tmp_path / 'images'}: {told}\n"
        assert command("cifar10", *folder) == (0, expected, "")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setitem(
        SOURCES, "cifar10", Source(f"http://127.0.0.1:{port}/other.tar.gz", len(ARCHIVE), "0" * 64, "other")
    )
    for name, expected in (("cifar10", "Connection refused" + STATE), ("cifar11", "there are cifar10, cifar100")):
        code, out, err = command(name, *folder)
        assert (code, out) == (1, "") and re.fullmatch(r"flatlib: .*\n", err) and re.search(expected, err.strip())
    out = " ".join(command("--help")[1].split())
    assert "Example: flatlib data fetch cifar10" in out
    assert names(tmp_path) == WHOLE


def test_the_list_names_the_command():
    """Sees CIFAR left out of `flatlib data list`."""
    from flatlib.tabular.table_file import listing

    assert "flatlib data fetch cifar10" in listing() and "www.cs.toronto.edu/~kriz" in listing()
