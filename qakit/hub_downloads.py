"""Large files of the hub: into a partial file of ours, which the next command takes up where this one broke off.

The hub's client continues with a broken download as long as its process lives, and then removes what has arrived. So a
large file is brought into the client's cache here, checked, and only linked by the client. It comes over HTTP, which
the hub offers for every file; the client's other protocol, Xet, keeps nothing of a broken download either.

::

    HF_HUB_CACHE/models--OWNER--NAME/blobs/SHA256               the file
    HF_HUB_CACHE/models--OWNER--NAME/blobs/SHA256.qakit-part    its first bytes, after a broken connection or a kill
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from qakit.files import file_sha256

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

LARGE = 20_000_000
"""Bytes from which a file gets a partial one; the client hands on what arrives in pieces of 10 MB."""
KEPT_DAYS = 14
"""Days after which a partial file that has not grown is given up."""
PART = ".qakit-part"
SHA256 = re.compile(r"[0-9a-f]{64}")
"""What a large file is called in the cache, and its ETag at the hub."""


class DamagedError(Exception):
    """A file is not what the hub says; the text says how they differ. What arrived is removed."""


def check(blob: Path, sha256: str) -> None:
    """Compare a file with its SHA-256, and remove it if it is another one.

    Raises:
        DamagedError: it is.
    """
    found = file_sha256(blob)
    if found != sha256:
        blob.unlink(missing_ok=True)
        raise DamagedError(f"sha256 {found}, the hub says {sha256}")


def bring(url: str, metadata: HfFileMetadata, repository: Path, display: Mapping[str, Any]) -> bool:
    """Put a large file, checked, where the client's cache keeps contents.

    Processes that want the same file wait for the one that fetches it, under the lock of the client.

    Args:
        url: of the file at the hub.
        metadata: what the hub says of it.
        repository: its folder in the client's cache.
        display: arguments with which the client's download shows how it gets on.

    Returns:
        Whether it is there now. If not, it is the client's to fetch: it is small, has no SHA-256, or the cache is not
        to be written by us.

    Raises:
        DamagedError: all of it arrived, and it is another one.
        OSError: the disk refuses; the error names the file. The client's exceptions: the connection broke, or the hub
            refuses. Either way the partial file stays.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import are_symlinks_supported, http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

    size, sha256 = metadata.size, metadata.etag or ""
    if size is None or not LARGE <= size <= constants.MAX_HTTP_DOWNLOAD_SIZE or not SHA256.fullmatch(sha256):
        return False
    blob = repository / "blobs" / sha256
    part = blob.with_name(f"{sha256}{PART}")
    lock = repository.parent / ".locks" / repository.name / f"{sha256}.lock"
    headers = build_hf_headers() | {"accept-encoding": "identity"}
    if urlsplit(metadata.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # a signed address in a storage, which is not to see the user's token
    try:
        if not are_symlinks_supported(repository.parent):  # the client would copy the file, and leave two
            return False
        blob.parent.mkdir(parents=True, exist_ok=True)
        lock.parent.mkdir(parents=True, exist_ok=True)
        _give_up_old(repository.parent)
        with WeakFileLock(lock):
            if not blob.exists():
                with _opened(part, size) as file:
                    had = file.tell()
                    http_get(metadata.location, file, resume_size=had, headers=headers, expected_size=size, **display)
                check(part, sha256)
                part.replace(blob)
        return True
    except HfHubHTTPError as error:
        if error.response.status_code == 429 or error.response.status_code >= 500:
            raise
        return False  # whatever the storage wants, the client knows
    except PermissionError:  # another user's files, or a cache that is only to be read
        return False
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(part)) from error


def _opened(part: Path, size: int) -> BinaryIO:
    """A partial file, to be written on; one that is longer than the whole begins anew. Links are not followed."""
    with suppress(FileNotFoundError):
        if part.is_symlink() or part.stat().st_size > size:
            part.unlink()
    nofollow = getattr(os, "O_NOFOLLOW", 0)
    return open(part, "ab", opener=lambda path, flags: os.open(path, flags | nofollow, 0o666))


def _give_up_old(cache: Path) -> None:
    """Remove the partial files of downloads that nobody has taken up, of whatever repository."""
    for part in cache.glob(f"*/blobs/*{PART}"):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime > KEPT_DAYS * 86_400:
                part.unlink()
