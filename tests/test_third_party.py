"""Real third-party packages, installed beside qakit's wheel into an environment of their own, and used from there."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fork_client import ForkServer

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ROOT / "tests" / "third_party"
EXAMPLE = PACKAGES / "example"
TOGETHER = PACKAGES / "recipe.yaml"
BUILD = """
import os, sys
from hatchling.build import build_wheel
for folder in sys.argv[2:]:
    os.chdir(folder)
    build_wheel(sys.argv[1])
"""

pytestmark = [pytest.mark.slow, pytest.mark.exhaustive]

Done = subprocess.CompletedProcess[str]


class Environment:
    """A virtual environment with the wheels of qakit and of all packages in `third_party`."""

    def __init__(self, folder: Path, backbone: Path) -> None:
        self.folder, self.number = folder, 0
        self.common = {"QAKIT_EXAMPLE_BACKBONE": str(backbone), "QAKIT_CACHE": str(folder / "cache")}
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.python, self.script = scripts / Path(sys.executable).name, scripts / "qakit"
        purelib = self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout
        self.installed = Path(purelib.strip())
        # Dependencies come from the environment of the tests. Its own `.pth` files, and so an editable qakit, do not.
        (self.installed / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        sources = (each.parent for each in (ROOT / "pyproject.toml", *PACKAGES.glob("*/pyproject.toml")))
        self.run(sys.executable, "-c", BUILD, folder, *sources)
        pip = (sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check", "--quiet")
        self.run(*pip, "install", "--no-index", "--no-deps", "--ignore-installed", *folder.glob("*.whl"))
        self.server = ForkServer(PACKAGES.with_name("third_party_server.py"), self.variables, self.python)

    @property
    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QAKIT_"))}
        return kept | {"PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *command: str | Path, check: bool = True, **variables: str) -> Done:
        """Any program."""
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env=self.variables | variables,
            cwd=PACKAGES.parent,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def qakit(self, *arguments: object, code: int = 0, anew: str = "", **variables: str) -> Done:
        """`qakit` in a process of its own that ends with ``code``; ``anew``: a package whose files have changed."""
        self.number += 1
        out, err = (self.folder / f"{self.number}.{name}" for name in ("out", "err"))
        env = self.variables | self.common | variables
        process = self.server.start(*arguments, env=env, cwd=PACKAGES.parent, out=out, err=err, anew=anew)
        done = Done(list(arguments), process.code(300), out.read_text("utf-8"), err.read_text("utf-8"))
        assert done.returncode == code, done.stdout + done.stderr
        return done

    @contextmanager
    def broken(self, file: str, function: str, when: str = "True") -> Iterator[str]:
        """Meanwhile what comes first in a function of an installed package fails, or in the module; its place."""
        path = self.installed / file
        source = path.read_text("utf-8")
        found: Any = ast.parse(source)
        for name in filter(None, function.split(".")):
            (found,) = (each for each in found.body if getattr(each, "name", None) == name)
        first = found.body[1 if ast.get_docstring(found) else 0]
        if isinstance(first, ast.ImportFrom) and first.module == "__future__":
            first = found.body[2]
        lines = source.splitlines(keepends=True)
        lines.insert(first.lineno - 1, f"{' ' * first.col_offset}if {when}: raise ZeroDivisionError('planted')\n")
        path.write_text("".join(lines), "utf-8")
        try:
            yield f"({file}:{first.lineno})"
        finally:
            path.write_text(source, "utf-8")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Path) -> Iterator[Environment]:
    made = Environment(tmp_path_factory.mktemp("third-party"), tiny_backbone)
    yield made
    made.server.close()


def test_qakit_there_is_the_installed_wheel(environment: Environment) -> None:
    code = (
        "import qakit, qakit_heads, qakit_example; print(qakit.__file__, qakit_heads.__file__, qakit_example.__file__)"
    )
    for path in environment.run(environment.python, "-c", code).stdout.split():
        assert Path(path).is_relative_to(environment.installed)


def test_the_plugins_are_listed_beside_ours(environment: Environment) -> None:
    listing = json.loads(environment.qakit("plugins", "--json").stdout)
    assert listing["broken"] == []
    assert listing["conflicts"] == []
    theirs = [each for each in listing["components"] if each["package"] == "qakit-example-plugin"]
    assert [(each["kind"], each["name"], each["plugin"], each["version"]) for each in theirs] == [
        ("preprocessors", "even_windows", "qakit-example-plugin:example", "0.3.0"),
        ("heads", "mlp_label", "qakit-example-plugin:example", "0.3.0"),
        ("heads", "mlp_span", "qakit-example-plugin:example", "0.3.0"),
        ("postprocessors", "trim_punctuation", "qakit-example-plugin:example", "0.3.0"),
    ]
    assert theirs[1]["settings"][0] == {
        "name": "width",
        "type": "an integer greater than 0",
        "required": False,
        "default": 128,
        "description": "Size of the hidden layer.",
    }
    others = {each["package"]: each["name"] for each in listing["components"] if each["package"] != "qakit"}
    assert {PLUGINS[package][1] for package in PLUGINS if package != "qakit-answer-stats"} <= set(others.values())
    assert len(listing["components"]) > 15


def test_a_command_is_on_the_command_line(environment: Environment, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text('{"a": "two", "b": ""}')
    done = environment.run(environment.script, "answer-stats", answers)
    assert done.stdout == "2 answers, 1 empty, mean length 3.0 characters\n"
    answers.write_text("[]")
    failed = environment.qakit("answer-stats", answers, code=2)
    assert failed.stderr == f"error: {answers}: must hold one JSON object that gives each id its answer\n"


def test_a_recipe_can_use_them(environment: Environment) -> None:
    environment.qakit("recipes", "validate", EXAMPLE / "recipe.yaml", TOGETHER)


def test_a_wrong_setting_is_found_in_the_recipe(environment: Environment, tmp_path: Path) -> None:
    recipe = (EXAMPLE / "recipe.yaml").read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(recipe.replace("width: 32", "widht: 32").replace("train.json", str(EXAMPLE / "train.json")))
    failed = environment.qakit("recipes", "validate", wrong, code=2)
    assert "wrong.yaml:16:24: unknown key 'widht'" in failed.stderr + failed.stdout
    assert "did you mean 'width'?" in failed.stderr + failed.stdout


def test_without_the_plugin_the_recipe_says_what_is_missing(environment: Environment) -> None:
    switch = {"QAKIT_DISABLE_PLUGINS": "qakit-example-plugin"}
    done = environment.qakit("recipes", "validate", EXAMPLE / "recipe.yaml", code=2, **switch)
    assert "mlp_span" in done.stderr + done.stdout
    assert "even_windows" in done.stderr + done.stdout


def test_a_run_is_evaluated_exported_and_knows_its_plugin(environment: Environment, tmp_path: Path) -> None:
    from safetensors import safe_open

    run, data = tmp_path / "run", EXAMPLE / "train.json"
    environment.qakit("train", EXAMPLE / "recipe.yaml", "--output", run)
    with safe_open(run / "model" / "model.safetensors", "pt") as weights:
        head = [name for name in weights.keys() if name.startswith("head.")]  # noqa: SIM118
    assert head, "a head that transformers does not know keeps its own names"
    done = environment.qakit("evaluate", run, "--input", data, "--json")
    final = json.loads((run / "metrics.json").read_text())["validation"]
    assert json.loads(done.stdout)["figures"] == pytest.approx(final)

    offline, answers = tmp_path / "offline", tmp_path / "answers.csv"
    environment.qakit("export", run, "--offline", "--output", offline)
    assert [wheel.name.partition("-")[0] for wheel in sorted(offline.glob("*.whl"))] == [
        "qakit",
        "qakit_example_plugin",
    ]
    assert "example" not in (offline / "requirements.txt").read_text()
    elsewhere = {"PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    environment.run("bash", offline / "run.sh", data, answers, **elsewhere)  # where the plugin is not installed
    assert len(answers.read_text().splitlines()) == 1 + len(
        json.loads(data.read_text())["data"][0]["paragraphs"][0]["qas"]
    )

    refused = environment.qakit("evaluate", run, code=2, QAKIT_DISABLE_PLUGINS="qakit-example-plugin")
    assert "needs qakit-example-plugin 0.3.0 (the preprocessor 'even_windows'), " in refused.stderr
    assert "qakit-example-plugin 0.3.0 (the head 'mlp_span')" in refused.stderr and "did you mean" not in refused.stderr
    meta, written = (run / "meta.json").read_text(), "mlp_span of qakit-example-plugin:example 0."
    (run / "meta.json").write_text(meta.replace(f"{written}3.0", f"{written}2.9"))
    told = environment.qakit("evaluate", run, "--input", data, "--json").stderr
    other = "trained with qakit-example-plugin 0.2.9 (the head 'mlp_span'); installed is qakit-example-plugin 0.3.0"
    assert other in " ".join(told.split())


# --------------------------------------------------------------------------- the plugins in trainings, whole and broken
PLUGINS = {
    "qakit-biaffine": ("head", "biaffine_span"),
    "qakit-mrqa-lines": ("reader", "mrqa_lines"),
    "qakit-contains": ("metric", "contains"),
    "qakit-scales": ("adapter", "scales"),
    "qakit-soft-prompt": ("adapter", "soft_prompt"),
    "qakit-curve": ("observer", "curve"),
    "qakit-bilstm": ("backbone", "bilstm"),
    "qakit-answer-stats": ("command", "answer-stats"),
}
PROMPT = ("--set", "adapter={name: soft_prompt, vectors: 4}")
ASK = ("What does the bay hold?", "--context", "The bay holds seals.", "--json")


@dataclass(frozen=True)
class Trained:
    """A run of the packages' recipe for each of their encoders."""

    scales: Path
    soft_prompt: Path
    bilstm: Path


@pytest.fixture(scope="module")
def trained(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("together")
    runs = Trained(folder / "scales", folder / "soft_prompt", folder / "bilstm")
    environment.qakit("train", TOGETHER, "--output", runs.scales)
    environment.qakit("train", TOGETHER, *PROMPT, "--output", runs.soft_prompt)
    environment.qakit("train", PACKAGES / "bilstm" / "recipe.yaml", "--output", runs.bilstm)
    return runs


@pytest.mark.parametrize("name", ["scales", "soft_prompt", "bilstm"])
def test_a_run_evaluates_predicts_and_answers(
    environment: Environment, trained: Trained, tmp_path: Path, name: str
) -> None:
    run, answers = getattr(trained, name), tmp_path / "answers.json"
    judged = json.loads(environment.qakit("evaluate", run, "--json").stdout)["figures"]
    assert judged == pytest.approx(json.loads((run / "metrics.json").read_text())["validation"])
    given = EXAMPLE / "train.json" if name == "bilstm" else PACKAGES / "lines" / "train.jsonl"
    environment.qakit("predict", run, "--input", given, "--output", answers)
    assert len(json.loads(answers.read_text())) == (2 if name == "bilstm" else 4)
    assert json.loads(environment.qakit("ask", run, *ASK).stdout)


def test_a_training_is_resumed_when_the_plugin_is_mended(
    environment: Environment, trained: Trained, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    trained_once = f"__import__('pathlib').Path({str(run / 'checkpoints')!r}).is_dir()"
    with environment.broken("qakit_scales/adapter.py", "Scales.merge", when=trained_once) as place:
        failed = environment.qakit("train", TOGETHER, "--output", run, code=2, anew="qakit_scales")
    assert failed.stderr.splitlines()[-1] == f"error: {told('qakit-scales', 'merge', place)}"
    environment.qakit("train", "--resume", "--output", run, anew="qakit_scales")
    for file in ("model/model.safetensors", "metrics.jsonl"):
        assert (run / file).read_bytes() == (trained.scales / file).read_bytes(), file
    *_, last = map(json.loads, (run / "curve.jsonl").read_text().splitlines())
    assert last == {"ended": "done"}


def told(package: str, method: str, place: str) -> str:
    """What is said of a planted fault."""
    kind, name = PLUGINS[package]
    return f"in {kind} '{name}' of plugin {package} 0.1.0: {method} fails: ZeroDivisionError: planted {place}"


TRAIN = ("train", TOGETHER, "--output", "{tmp}")
ASKED = ("ask", "{scales}", *ASK)
JUDGED = ("evaluate", "{scales}", "--input", PACKAGES / "lines" / "train.jsonl")
LSTM = ("train", PACKAGES / "bilstm" / "recipe.yaml", "--output", "{tmp}")


@pytest.mark.parametrize(
    ("package", "function", "method", "command"),
    [
        ("qakit-mrqa-lines", "reader.py MrqaLines.read", "read", TRAIN),
        ("qakit-mrqa-lines", "reader.py MrqaLines._answers", "read", JUDGED),
        ("qakit-contains", "metric.py Contains.__init__", "build", TRAIN),
        ("qakit-contains", "metric.py Contains.compute", "compute", JUDGED),
        ("qakit-contains", "metric.py Contains.per_example", "per_example", JUDGED),
        ("qakit-scales", "adapter.py Scales.__init__", "build", TRAIN),
        ("qakit-scales", "adapter.py Scales.apply", "apply", TRAIN),
        ("qakit-scales", "adapter.py Scales.parameter_rule", "parameter_rule", TRAIN),
        ("qakit-scales", "adapter.py Scaled.forward", "forward", TRAIN),
        ("qakit-scales", "adapter.py Scaled.plain", "merge", TRAIN),
        ("qakit-soft-prompt", "adapter.py SoftPrompt.__init__", "build", (*TRAIN, *PROMPT)),
        ("qakit-soft-prompt", "adapter.py SoftPrompt.apply", "apply", ("ask", "{soft_prompt}", *ASK)),
        ("qakit-soft-prompt", "adapter.py Prompted.forward", "forward", ("ask", "{soft_prompt}", *ASK)),
        ("qakit-soft-prompt", "adapter.py Prompted.length_limit", "length_limit", (*TRAIN, *PROMPT)),
        ("qakit-biaffine", "head.py BiaffineSpan.__init__", "build", ASKED),
        ("qakit-biaffine", "head.py BiaffineSpan.forward", "forward", TRAIN),
        ("qakit-biaffine", "head.py BiaffineSpan.decode", "decode", ASKED),
        ("qakit-curve", "observer.py Curve.__init__", "build", TRAIN),
        ("qakit-bilstm", "encoder.py BiLstm.__init__", "build", LSTM),
        ("qakit-bilstm", "encoder.py BiLstm.forward", "forward", ("ask", "{bilstm}", *ASK)),
        (
            "qakit-bilstm",
            "encoder.py BiLstm.get_input_embeddings",
            "get_input_embeddings",
            (*LSTM, "--set", "train.adversarial={method: fgm}"),
        ),
        ("qakit-answer-stats", "__init__.py answer_stats", "the call", ("answer-stats", "{tmp}")),
        ("qakit-answer-stats", "__init__.py", "import", ("answer-stats", "{tmp}")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_fails_in_a_plugin_is_one_line_that_says_where(
    environment: Environment,
    trained: Trained,
    tmp_path: Path,
    package: str,
    function: str,
    method: str,
    command: tuple[object, ...],
) -> None:
    module = package.replace("-", "_")
    file, _, name = function.partition(" ")
    places = {"{tmp}": tmp_path, **{f"{{{run}}}": folder for run, folder in vars(trained).items()}}
    words = [str(places.get(str(word), word)) for word in command]
    with environment.broken(f"{module}/{file}", name) as place:
        failed = environment.qakit(*words, code=2, anew=module)
    last = failed.stderr.splitlines()[-1]  # before it may stand what qakit was about
    assert last.startswith("error: ") and last.endswith(told(package, method, place))
    assert "Traceback" not in failed.stderr and "damaged" not in failed.stderr


@pytest.mark.parametrize("method", ["observe", "close"])
def test_an_observer_that_fails_is_told_and_the_training_goes_on(
    environment: Environment, trained: Trained, tmp_path: Path, method: str
) -> None:
    with environment.broken("qakit_curve/observer.py", f"Curve.{method}") as place:
        done = environment.qakit("train", TOGETHER, "--output", tmp_path / "run", anew="qakit_curve")
    said = f"the observer curve of qakit-curve:curve failed and is left out from here on: {method} fails: Zero"
    assert f"{said}DivisionError: planted {place}" in " ".join(done.stderr.split())
    for file in ("model/model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / file).read_bytes() == (trained.scales / file).read_bytes()
