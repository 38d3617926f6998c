"""Archives fetched from their official page: resumed where they stopped, verified, unpacked."""

import hashlib
import os
import tarfile
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

CHUNK, TIMEOUT = 2**16, 30.0  # bytes; seconds without one
PAGE = "https://www.cs.toronto.edu/~kriz/"


class Source(NamedTuple):
    """An archive as it was published."""

    url: str
    bytes: int
    sha256: str
    folder: str  # that it holds


SOURCES = {  # bytes and checksums: TensorFlow Datasets'
    "cifar10": Source(
        f"{PAGE}cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        "cifar-10-batches-bin",
    ),
    "cifar100": Source(
        f"{PAGE}cifar-100-binary.tar.gz",
        168_513_733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        "cifar-100-binary",
    ),
}


def fetch(name: str, folder: Path | None = None) -> tuple[Path, bool]:
    """Put a data set into `folder` ($FLATLIB_DATA, else ./data): where it is, and whether it was there before.

    An archive that lies there is taken. ValueError for what is not the archive, RuntimeError where the download stops.
    """
    if name not in SOURCES:
        raise ValueError(f"no data set {name!r} to fetch; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    target = data_folder(folder) / source.folder
    if target.exists():
        return target, True
    archive = target.with_name(source.url.rsplit("/", 1)[1])
    if not archive.exists():
        _fetch_archive(archive, source)
    elif not is_right(archive, source):
        raise ValueError(f"{archive}: there, but with a wrong checksum; move it away and fetch again")
    with TemporaryDirectory(dir=target.parent) as scratch, tarfile.open(archive) as tar:
        tar.extractall(scratch, filter="data")
        (Path(scratch) / source.folder).rename(target)
    return target, False


def _fetch_archive(archive: Path, source: Source) -> None:
    part = archive.with_name(archive.name + ".part")
    try:
        _download(part, source)
    except (OSError, HTTPException) as error:
        if getattr(error, "filename", None) and not isinstance(error, URLError):
            raise  # the folder: Python's own line names it
        if isinstance(error, HTTPError):
            error.close()
        reason = error.reason if type(error) is URLError else error
        have = part.stat().st_size if part.exists() else 0
        raise RuntimeError(
            f"{source.url}: {getattr(reason, 'strerror', None) or reason}; {have / 1e6:.1f} of "
            f"{source.bytes / 1e6:.1f} MB are there, and the same command resumes"
        ) from None
    if not is_right(part, source):
        part.unlink()
        raise ValueError(f"{source.url}: wrong checksum, what came is removed; fetch again or use another network")
    part.rename(archive)


def data_folder(folder: Path | None = None) -> Path:
    """Where data sets lie: `folder`, else $FLATLIB_DATA, else ./data."""
    return folder or Path(os.environ.get("FLATLIB_DATA") or "data")


def is_right(path: Path, source: Source) -> bool:
    """Whether a file has the archive's checksum."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == source.sha256


def _download(part: Path, source: Source) -> None:
    """Append what is missing; from a server that ignores Range, start over."""
    from tqdm import tqdm  # here, since a search on a bare machine needs this module's data_folder

    have = part.stat().st_size if part.exists() else 0
    if have >= source.bytes:
        return
    headers = {"User-Agent": "flatlib"} | ({"Range": f"bytes={have}-"} if have else {})
    with urlopen(Request(source.url, headers=headers), timeout=TIMEOUT) as response:
        have = have if response.status == 206 else 0
        if response.length not in (None, source.bytes - have):  # such as a login page: nothing of it is written
            raise ValueError(f"{source.url}: not the archive, {response.length:,} bytes; use another network")
        part.parent.mkdir(parents=True, exist_ok=True)
        bar = tqdm(total=source.bytes, initial=have, desc=part.stem, unit="B", unit_scale=True, disable=None)
        with bar, open(part, "ab" if have else "wb") as file:
            while have < source.bytes and (chunk := response.read(CHUNK)):
                have += file.write(chunk)
                bar.update(len(chunk))
    if have < source.bytes:
        raise ConnectionError("the connection was cut")
