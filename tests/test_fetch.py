"""Sees an archive that does not come whole, does not resume, or is unpacked elsewhere."""

import hashlib
import re
import socket
import sys
import tarfile
from pathlib import Path

import archive_server
import pytest
from archive_server import ARCHIVE, CONTENT, PART, STATE, WHOLE, archive, fetched, names

from flatlib.cli import main
from flatlib.data.fetch import SOURCES, Source, fetch

no_other_network, server = archive_server.no_other_network, archive_server.server  # fixtures


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
