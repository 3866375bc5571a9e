"""``qakit push``: a run onto the model hub."""

from __future__ import annotations

from typing import Annotated

import typer

from qakit.cli.export import refuse_composed, tell_unfinished
from qakit.cli.terminal.console import out, plain, print_json
from qakit.cli.terminal.options import JsonOption, RunArgument


def push(
    run: RunArgument,
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The model's name on the hub.")],
    private: Annotated[bool, typer.Option("--private", help="A new repository is for its owner alone.")] = False,
    revision: Annotated[str | None, typer.Option("--revision", help="A branch; by default main.")] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the model, as the hub calls it; by default the backbone's.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the model card and the files, and publish nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish a run's best weights on the model hub: model, tokenizer and a model card, in one commit.

    transformers loads it where it has the head, qakit always. Data, predictions and checkpoints stay here.

    Example: qakit push runs/quickstart OWNER/NAME --dry-run
    """
    from qakit.cli.terminal.progress import TrainingDisplay
    from qakit.workflows.push import push as push_run

    refuse_composed(run)
    tell_unfinished(run)
    with TrainingDisplay() as display:
        done = push_run(
            run,
            repository,
            private=private,
            revision=revision,
            licence=licence,
            dry_run=dry_run,
            listener=display,
        )
    if as_json:
        print_json({"repository": done.repository, "commit": done.commit, "files": dict(done.files), "card": done.card})
        return
    size = f"{sum(done.files.values()) / 1e6:,.1f} MB: {', '.join(done.files)}"
    if dry_run:
        out.print(plain(done.card))
        out.print(plain(f"files ({size})"))
        return
    out.print(plain(f"published: {done.commit} ({size})"))
    out.print(plain(f'load it with qakit.load("{repository}"), or name it in place of a run'))
