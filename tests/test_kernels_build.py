"""Sees kernels that are built half, twice or for another processor, or a failed build that is no single line."""

import subprocess
import sys
from pathlib import Path

import pytest

from flatlib.search.kernels import build

BUILD = """
import sys
from pathlib import Path
from flatlib.search.kernels import build
build.SOURCE = Path(sys.argv[1])
print(build.missing())
"""
SMALL = '#include <cstdint>\nextern "C" int64_t answer() { return 42; }\n'


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a process that builds a source, with an empty cache; its line is whether that worked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(text=SMALL, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        source = tmp_path / "small.cpp"
        source.write_text(text)
        return subprocess.Popen([sys.executable, "-c", BUILD, source], stdout=subprocess.PIPE, text=True)

    return run


def line(process):
    return process.communicate(timeout=120)[0].strip()


def kept(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache" / "flatlib" / "kernels").iterdir())


@pytest.mark.usefixtures("compiled")
def test_two_processes_build_at_once(start, tmp_path):
    """Sees a lock that a dead process holds, a half-written library, or a build for each process."""
    both = [start(), start()]
    assert [line(process) for process in both] == ["None", "None"]
    (library,) = kept(tmp_path)
    before = (tmp_path / "cache" / "flatlib" / "kernels" / library).stat().st_mtime_ns
    assert line(start()) == "None" and kept(tmp_path) == [library]
    assert (tmp_path / "cache" / "flatlib" / "kernels" / library).stat().st_mtime_ns == before
    assert line(start(SMALL.replace("42", "43"))) == "None" and len(kept(tmp_path)) == 2  # another source


@pytest.mark.usefixtures("compiled")
def test_a_killed_build_is_begun_again(start, tmp_path):
    """Sees leftovers of a build that are taken for a library."""
    process = start()
    folder = tmp_path / "cache" / "flatlib" / "kernels"
    while not (folder.exists() and any(folder.iterdir())):
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert line(start()) == "None" and sum(name.endswith(".so") for name in kept(tmp_path)) == 1


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(
    ("text", "environment", "told"),
    [
        (
            SMALL,
            {"CXX": "no-such-compiler"},
            "no compiled kernels: [Errno 2] No such file or directory: 'no-such-compiler'",
        ),
        ("int answer( { return 42; }\n", {}, "error: "),
        (SMALL, {"XDG_CACHE_HOME": "/proc/none"}, "no compiled kernels: "),
    ],
)
def test_what_keeps_from_building_is_one_line(start, tmp_path, text, environment, told):
    """Sees a traceback, a compiler's pages, or a library left behind."""
    answer = line(start(text, **environment))
    assert told in answer and len(answer.splitlines()) == 1 and len(answer) < 260
    folder = tmp_path / "cache" / "flatlib" / "kernels"
    assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.usefixtures("compiled")
def test_the_library_follows_the_processor(monkeypatch, tmp_path):
    """Sees a library that is read on a processor it was not built for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "SOURCE", tmp_path / "small.cpp")
    build.SOURCE.write_text(SMALL)
    own, text = build._library(), Path.read_text

    def elsewhere(path):
        return text(path).replace("flags\t", "flags\tnew ") if str(path) == "/proc/cpuinfo" else text(path)

    assert build._library() == own
    monkeypatch.setattr(Path, "read_text", elsewhere)
    assert build._library() != own
