"""Sees a wrong or half archive kept under its name, a user's file overwritten, or a failure that is no line."""

from pathlib import Path

import archive_server
import pytest
from archive_server import ARCHIVE, CONTENT, PART, STATE, fetched, names

from flatlib.data import fetch as module
from flatlib.data.fetch import fetch

no_other_network, server = archive_server.no_other_network, archive_server.server  # fixtures


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
