"""Archives that somebody else made."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qakit.errors import DataError
from qakit.submit.unzip import unpack


def archive(folder: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = folder / "data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return path


def into(folder: Path) -> Path:
    target = folder / "out"
    target.mkdir(exist_ok=True)
    return target


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_and_folders(tmp_path: Path) -> None:
    path = archive(tmp_path, ("a.csv", b"1"), ("b/", b""), ("b/c.txt", b""), ("大.txt", b"x" * 3_000_000))
    names = unpack(path, into(tmp_path))
    assert [name.as_posix() for name in names] == ["a.csv", "b/c.txt", "大.txt"]
    assert files(tmp_path / "out") == {"a.csv": b"1", "b/c.txt": b"", "大.txt": b"x" * 3_000_000}


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/etc/evil", "C:evil", "c:\\evil", "..\\evil", "a\\..\\..\\evil", "..", "a\nb", "x/.."],
)
def test_ways_out_of_the_folder(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path, ("good.txt", b"1"), (name, b"evil"))
    with pytest.raises(DataError, match="nothing was unpacked"):
        unpack(path, into(tmp_path))
    assert files(tmp_path / "out") == {}
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a/" * 2000 + "b", "lies 2,000 folders deep; nothing was unpacked"),
        ("a/" * 100 + "b", "lies 100 folders deep; nothing was unpacked"),
        ("x" * 300, r"cannot be unpacked \(File name too long\)"),
        ("good.txt/inside", r"cannot be unpacked \((Not a directory|File exists)\)"),
    ],
)
def test_paths_that_no_file_system_takes(tmp_path: Path, name: str, says: str) -> None:
    path = archive(tmp_path, ("good.txt", b"1"), (name, b"2"))
    with pytest.raises(DataError, match=says) as caught:
        unpack(path, into(tmp_path))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(DataError, match="is a link or a device"):
        unpack(archive(tmp_path, (info, b"/etc/passwd")), into(tmp_path))


def test_the_same_name_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is there twice"):
        unpack(archive(tmp_path, ("A.csv", b"1"), ("a.CSV", b"2")), into(tmp_path))


def test_a_bomb(tmp_path: Path) -> None:
    path = archive(tmp_path, ("zeros", bytes(100 << 20)))
    with pytest.raises(DataError, match="like a decompression bomb"):
        unpack(path, into(tmp_path))


def test_an_encrypted_file(tmp_path: Path) -> None:
    path = archive(tmp_path, ("a.csv", b"1"))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be unpacked .*encrypted"):
        unpack(path, into(tmp_path))


def test_a_size_that_is_a_lie(tmp_path: Path) -> None:
    """The directory says less than there is: no more than that is written, and the file does not pass."""
    path = archive(tmp_path, ("a.csv", b"x" * 5000))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError):
        unpack(path, into(tmp_path))
    assert sum(map(len, files(tmp_path / "out").values())) <= 5000


@given(st.integers(0, 2**16), st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    path = archive(folder, ("a.csv", b"id,answer\n1,a\n" * 20), ("b.csv", b"2"))
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)
    try:
        unpack(path, into(folder))
    except DataError:
        return
    found = files(folder / "out")
    assert set(found.values()) <= {b"id,answer\n1,a\n" * 20, b"2", b""}, "whatever passes is the file's own content"


@given(st.integers(0, 400))
def test_a_truncated_archive_is_noticed(tmp_path_factory: pytest.TempPathFactory, end: int) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = archive(folder, ("a.csv", bytes(range(256)) * 4))
    content = path.read_bytes()
    path.write_bytes(content[: min(end, len(content) - 1)])
    with pytest.raises(DataError, match=r"cannot be unpacked .*: is it damaged or cut off"):
        unpack(path, into(folder))
