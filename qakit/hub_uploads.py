"""A folder onto the model hub, in one commit: all of it is there afterwards, or nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qakit.errors import HubError
from qakit.hub import quiet, why_not

if TYPE_CHECKING:
    from huggingface_hub import HfApi

BESIDE = (".gitattributes", "README.md")
"""What a repository may hold that has no model yet."""


def upload(folder: Path, repository: str, *, mark: str, private: bool, revision: str | None, message: str) -> str:
    """Make a folder the whole content of a model repository's branch, which is made if it is not there.

    Args:
        folder: what to publish.
        repository: ``OWNER/NAME``.
        mark: the file by which an earlier upload is told from what somebody else has put there.
        private: of a new repository; one that is there stays as it is.
        revision: a branch; the default branch where it is None.
        message: of the commit.

    Returns:
        The commit's address.

    Raises:
        HubError: no token, or one that may not write there; the repository holds something else; a file did not arrive.
    """
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise HubError(
            f"{repository}: pushing needs a token with write access: `hf auth login`, or the environment variable "
            "HF_TOKEN"
        )
    api = HfApi()
    with _explained(repository, revision), quiet():
        api.create_repo(repository, private=private or None, exist_ok=True)
        _check_ours(api, repository, revision, mark)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        done = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            delete_patterns="*",  # what an earlier model had, in the same commit
        )
    return done.commit_url


def _check_ours(api: HfApi, repository: str, revision: str | None, mark: str) -> None:
    """Raises:
    HubError: the branch, or what a new branch is made of, holds what no earlier upload of ours has put there.
    """
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        found = api.model_info(repository, revision=revision)
    except RevisionNotFoundError:
        found = api.model_info(repository)
    held = {each.rfilename for each in found.siblings or ()}
    if mark not in held and (others := sorted(held.difference(BESIDE))):
        raise HubError(
            f"{repository} holds something else ({others[0]}), which a push would replace: choose another name"
        )


@contextmanager
def _explained(repository: str, revision: str | None) -> Iterator[None]:
    """Whatever the client raises as one line."""
    try:
        yield
    except HubError:
        raise
    except Exception as caught:  # the client's HTTP library changes
        error = caught
        while getattr(error, "response", None) is None and isinstance(error.__cause__, Exception):
            error = error.__cause__  # it wraps what happened to a single file
        status = getattr(getattr(error, "response", None), "status_code", None)
        why = why_not(error, repository, "model", revision)
        if status == 403:
            why = "this token may not write there: it needs write access, and its owner must be a member of OWNER"
        elif status == 404:
            why = "the name is taken by something that is no model, or that this token may not see"
        why = why.removesuffix("; what has arrived is kept")
        raise HubError(f"{repository}: {why}; nothing is published") from caught
