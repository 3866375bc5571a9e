"""A real third-party package, installed beside qakit's wheel into an environment of its own, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tests" / "third_party"

pytestmark = pytest.mark.slow


class Environment:
    """A virtual environment with qakit's wheel and the example plugin."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        scripts = "Scripts" if os.name == "nt" else "bin"
        self.python = folder / scripts / Path(sys.executable).name
        self.qakit = folder / scripts / "qakit"
        purelib = self.run(self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
        # Dependencies come from the environment of the tests. Its own `.pth` files, and so an editable qakit, do not.
        (Path(purelib) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(self, *command: str | Path, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QAKIT_"))}
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            check=False,
            env=keep | variables,
            cwd=PACKAGE.parent,
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def install(self, source: Path) -> None:
        pip = (
            sys.executable,
            "-m",
            "pip",
            "--python",
            self.python,
            "--disable-pip-version-check",
            "--quiet",
            "install",
        )
        self.run(*pip, "--no-index", "--no-deps", "--no-build-isolation", "--ignore-installed", source)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("third-party")
    environment = Environment(folder / "venv")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    environment.install(next(folder.glob("*.whl")))
    environment.install(PACKAGE)
    environment.install(PACKAGE / "bilstm")
    return environment


def test_qakit_there_is_the_installed_wheel(environment: Environment) -> None:
    code = (
        "import qakit, qakit_heads, qakit_example; print(qakit.__file__, qakit_heads.__file__, qakit_example.__file__)"
    )
    for path in environment.run(environment.python, "-c", code).stdout.split():
        assert Path(path).is_relative_to(environment.python.parents[1])


def test_the_plugin_is_listed_beside_ours(environment: Environment) -> None:
    listing = json.loads(environment.run(environment.qakit, "plugins", "--json").stdout)
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
        "type": "int > 0",
        "required": False,
        "default": 128,
        "description": "Size of the hidden layer.",
    }
    assert len(listing["components"]) > 15


def test_the_backbone_of_the_guide_trains_and_answers(
    environment: Environment, tiny_backbone: Path, tmp_path: Path
) -> None:
    variables = {"QAKIT_EXAMPLE_BACKBONE": str(tiny_backbone), "QAKIT_CACHE": str(tmp_path / "cache")}
    run = tmp_path / "run"
    environment.run(environment.qakit, "train", PACKAGE / "bilstm" / "recipe.yaml", "--output", run, **variables)
    asked = environment.run(environment.qakit, "ask", run, "What?", "--context", "The tide.", "--json", **variables)
    assert json.loads(asked.stdout)
    checked = environment.run(environment.qakit, "plugins", "check", "qakit-bilstm", **variables)
    assert checked.stdout == "backbone bilstm: keeps the contract\n"


def test_its_command_is_on_the_command_line(environment: Environment, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text('{"a": "two", "b": ""}')
    done = environment.run(environment.qakit, "answer-stats", answers)
    assert done.stdout == "2 answers, 1 empty, mean length 3.0 characters\n"
    answers.write_text("[]")
    failed = environment.run(environment.qakit, "answer-stats", answers, check=False)
    assert failed.returncode == 2
    assert "must hold one JSON object" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_recipe_can_use_it(environment: Environment) -> None:
    environment.run(environment.qakit, "recipes", "validate", PACKAGE / "example" / "recipe.yaml")


def test_a_wrong_setting_of_it_is_found_in_the_recipe(environment: Environment, tmp_path: Path) -> None:
    recipe = (PACKAGE / "example" / "recipe.yaml").read_text()
    data = PACKAGE / "example" / "train.json"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(recipe.replace("width: 32", "widht: 32").replace("train.json", str(data)))
    failed = environment.run(environment.qakit, "recipes", "validate", wrong, check=False)
    assert failed.returncode == 2
    assert "wrong.yaml:16:24: unknown key 'widht'" in failed.stderr + failed.stdout
    assert "did you mean 'width'?" in failed.stderr + failed.stdout


def test_without_the_plugin_the_recipe_says_what_is_missing(environment: Environment) -> None:
    recipe = PACKAGE / "example" / "recipe.yaml"
    switch = {"QAKIT_DISABLE_PLUGINS": "qakit-example-plugin"}
    done = environment.run(environment.qakit, "recipes", "validate", recipe, check=False, **switch)
    assert done.returncode == 2
    assert "mlp_span" in done.stderr + done.stdout
    assert "even_windows" in done.stderr + done.stdout


def test_it_trains_is_saved_and_answers(environment: Environment, tiny_backbone: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    run, data = tmp_path / "run", PACKAGE / "example" / "train.json"
    recipe = PACKAGE / "example" / "recipe.yaml"
    variables = {"QAKIT_EXAMPLE_BACKBONE": str(tiny_backbone), "QAKIT_CACHE": str(tmp_path / "cache")}
    environment.run(environment.qakit, "train", recipe, "--output", run, **variables)
    with safe_open(run / "model" / "model.safetensors", "pt") as weights:
        head = [name for name in weights.keys() if name.startswith("head.")]  # noqa: SIM118
    assert head, "a head that transformers does not know keeps its own names"
    done = environment.run(environment.qakit, "evaluate", run, "--input", data, "--json", **variables)
    final = json.loads((run / "metrics.json").read_text())["validation"]
    assert json.loads(done.stdout)["figures"] == pytest.approx(final)

    offline, answers = tmp_path / "offline", tmp_path / "answers.csv"
    environment.run(environment.qakit, "export", run, "--offline", "--output", offline, **variables)
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

    switched_off = {**variables, "QAKIT_DISABLE_PLUGINS": "qakit-example-plugin"}
    refused = environment.run(environment.qakit, "evaluate", run, check=False, **switched_off)
    assert refused.returncode == 2
    assert "needs qakit-example-plugin 0.3.0 (the preprocessor 'even_windows'), " in refused.stderr
    assert "qakit-example-plugin 0.3.0 (the head 'mlp_span')" in refused.stderr and "did you mean" not in refused.stderr
    meta, written = (run / "meta.json").read_text(), "mlp_span of qakit-example-plugin:example 0."
    (run / "meta.json").write_text(meta.replace(f"{written}3.0", f"{written}2.9"))
    told = environment.run(environment.qakit, "evaluate", run, "--input", data, "--json", **variables).stderr
    other = "trained with qakit-example-plugin 0.2.9 (the head 'mlp_span'); installed is qakit-example-plugin 0.3.0"
    assert other in " ".join(told.split())
