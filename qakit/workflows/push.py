"""A run onto the model hub: plain weights, tokenizer and a model card, in one commit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qakit.data.splits import CONTEXTS
from qakit.errors import HubError, ModelError, QakitError, UsageError
from qakit.hub import quiet, snapshot, why_not
from qakit.plugin_code import refuse_file
from qakit.report.card import TASKS, UNKNOWN, Figures, Subject, card_of
from qakit.report.compare import Plan, compare
from qakit.report.compare_runs import read_members
from qakit.training.events import Listener, Notice

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from qakit.recipe.model import Recipe
    from qakit.registry import Registry
    from qakit.runs import Run


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


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push has published, or would publish."""

    repository: str
    card: str
    files: Mapping[str, int]
    """Bytes by name."""
    commit: str | None
    """Its address; None for a dry run."""


def push(
    folder: Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    licence: str | None = None,
    dry_run: bool = False,
    listener: Listener,
) -> Pushed:
    """Publish the best weights of the run in ``folder`` as ``repository`` (``OWNER/NAME``).

    Neither data, predictions, checkpoints nor paths of this machine go along.

    Args:
        private: a new repository is for its owner alone.
        revision: a branch; the default branch where it is None.
        licence: of the model, as the hub calls it; by default the backbone's.
        dry_run: ask the hub for the backbone's licence alone, and publish nothing.

    Raises:
        UsageError: a name that the hub does not take.
        RunError: the run has no model, or a graph in its place.
        HubError: the hub does not take it; nothing is published.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    from qakit.modeling.export import export_merged
    from qakit.registry import load_registry
    from qakit.runs import LAYOUT, SEEN, open_run

    try:
        validate_repo_id(repository)
    except HFValidationError:
        repository = ""
    if "/" not in repository:
        raise UsageError("a model on the hub is named OWNER/NAME, of letters, digits, '-', '_' and '.'")
    run, registry = open_run(folder), load_registry()
    recipe = run.recipe()
    for held in recipe.plugins:
        refuse_file(held if isinstance(held, str) else held.package)
    with TemporaryDirectory() as temporary:
        fresh = Path(temporary) / "model"
        export_merged(run, registry, fresh)
        (fresh / SEEN).unlink(missing_ok=True)  # hashes of private questions could be guessed
        architectures = _amend(fresh / LAYOUT, fresh / "config.json", recipe)
        backbone, theirs = _backbone_licence(recipe)
        if theirs == UNKNOWN and licence is None:
            listener(
                Notice(
                    f"the licence of the backbone {backbone} is not known, and the card says so: look it up, and name "
                    "the model's with --license"
                )
            )
        card = card_of(
            Subject(
                repository=repository,
                recipe=recipe,
                figures=_figures(run, registry, listener),
                backbone=backbone,
                licence=licence or theirs,
                backbone_licence=theirs,
                auto_class=_auto_class(architectures),
            )
        )
        (fresh / "README.md").write_text(card, "utf-8")
        files = {file.name: file.stat().st_size for file in sorted(fresh.iterdir())}
        commit = None
        if not dry_run:
            message = f"{run.name}, trained with qakit"
            commit = upload(fresh, repository, mark=LAYOUT, private=private, revision=revision, message=message)
    return Pushed(repository, card, files, commit)


def _amend(layout_file: Path, config_file: Path, recipe: Recipe) -> list[str]:
    """Add to the layout how the model reads, and take this machine's paths out; transformers' classes for it."""
    layout = json.loads(layout_file.read_text("utf-8"))
    if isinstance(layout.get("backbone"), dict):
        layout["backbone"]["source"] = public_name(layout["backbone"]["source"])
    data = recipe.model_dump(mode="json", exclude_defaults=True)
    reader, windows = recipe.data.reader, data.get("preprocess", {}).get("predict")
    settings = {name: value for name, value in reader.settings.items() if name != CONTEXTS}
    reads: dict[str, Any] = {
        name: data[name] for name in ("head", "windows", "predict", "postprocess", "metric") if name in data
    }
    reads["data"], reads["train"] = {"reader": {"name": reader.name, **settings}}, {"precision": recipe.train.precision}
    layout["recipe"] = reads if windows is None else reads | {"preprocess": {"predict": windows}}
    layout_file.write_text(json.dumps(layout, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    found = json.loads(config_file.read_text("utf-8")).get("architectures")
    return list(found or [])


def public_name(source: str) -> str:
    """A backbone's source as others may see it: of a folder the name alone."""
    path = Path(source)
    return path.name if path.is_absolute() or source.startswith((".", "~")) or path.is_dir() else source


def _auto_class(architectures: list[str]) -> str | None:
    return next(
        (auto for auto in TASKS for name in architectures if name.endswith(auto.removeprefix("AutoModel"))), None
    )


def _backbone_licence(recipe: Recipe) -> tuple[str, str]:
    """The backbone as others may see it, and the licence that its own card says; a package's licence may be another."""
    from huggingface_hub import ModelCard

    from qakit.modeling.sources import find_source

    section, card = recipe.backbone, "README.md"
    if section.architecture is not None:  # fresh weights, of this run alone
        return section.called, UNKNOWN
    try:
        source = find_source(section.source, revision=section.revision, needs="configuration")
        folder = source.folder
        if source.origin == "hub":
            folder = snapshot(
                section.source,
                choose=lambda names: [name for name in names if name == card],
                revision=section.revision,
                subject=f"backbone {section.source!r}",
            )
        data = ModelCard((folder / card).read_text("utf-8"), ignore_metadata_errors=True).data
        licence = data.to_dict().get("license")  # type: ignore[no-untyped-call]
    except (HubError, ModelError, OSError, ValueError):
        licence = None
    return public_name(section.source), str(licence or UNKNOWN)


def _figures(run: Run, registry: Registry, listener: Listener) -> Figures:
    """The run's validation figures; with intervals where its questions and answers are still there."""
    values = run.figures()
    try:
        found = compare(read_members([run.folder], registry), Plan())
    except QakitError as error:
        listener(Notice(f"the card has figures without intervals: {error}"))
        return Figures(values, {}, None)
    estimates = found.estimates[0]
    return Figures(values or {key: each.mean for key, each in estimates.items()}, estimates, found.questions)
