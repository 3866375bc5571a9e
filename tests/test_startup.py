"""Start-up stays light: what a command that needs no model imports, seen from outside."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"accelerate", "datasets", "kaggle", "matplotlib", "numpy", "pandas", "peft", "pyarrow", "scipy"}
HEAVY |= {"tokenizers", "torch", "transformers"}

RUN = """
import sys
sys.argv = ["qakit", *sys.argv[1:]]
from qakit.cli import main
try:
    main()
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported_by(*arguments: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Top-level packages that a command imports, and how it ended."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    return set(done.stderr.splitlines()[-1].split()), done


@pytest.mark.sweep(3)
@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("compare", "--help"),
        ("submit", "--help"),
        ("kaggle", "doctor", "--help"),
        ("plugins",),
        ("plugins", "--json"),
        ("recipes", "list"),
        ("recipes", "schema"),
        ("recipes", "show", "recipes/boss.yaml"),
        ("recipes", "validate", "recipes/quickstart.yaml"),
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    packages, done = imported_by(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert packages & HEAVY == set()
    assert {"qakit", "typer"} <= packages
    if arguments in (("--help",), ("--version",)):
        assert packages & {"pluggy", "pydantic", "rich", "qakit_glue", "qakit_heads"} == set()


@pytest.mark.parametrize(
    "arguments",
    [("submit", "FILE", "-c", "qa-cup", "--dry-run"), ("submissions",), ("runs", "list", "FOLDER")],
    ids=" ".join,
)
def test_what_needs_no_model_does_without_torch(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("id,answer\n1,one\n", "utf-8")
    given = {"FILE": str(tmp_path / "answers.csv"), "FOLDER": str(tmp_path)}
    packages, done = imported_by(*(given.get(each, each) for each in arguments))
    assert "Traceback" not in done.stderr
    assert packages & {"torch", "transformers"} == set(), done.stderr


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("evaluate FOLDER/run", "run"),
        ("evaluate RUN -i FOLDER/no.json", "no.json"),
        ("predict RUN -i FOLDER/no.json -o FOLDER/a.csv", "no.json"),
        ("view FOLDER/run", "run"),
        ("tune-postprocess FOLDER/run", "run"),
        ("data check FOLDER/recipe.yaml", "recipe.yaml"),
    ],
)
def test_a_misspelt_name_is_told_before_torch_is_imported(command: str, wrong: str, tmp_path: Path) -> None:
    (run := tmp_path / "begun").mkdir()
    (run / "recipe.yaml").touch()
    given = (part.replace("FOLDER", str(tmp_path)).replace("RUN", str(run)) for part in command.split())
    packages, done = imported_by(*given)
    assert (done.returncode, f"{tmp_path / wrong}" in done.stderr.replace("\n", "")) == (2, True), done.stderr
    assert packages & {"torch", "transformers"} == set()


def test_the_probe_sees_heavy_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, numpy; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert "numpy" in done.stdout.split()


def test_importing_the_api_is_light_and_its_heavy_names_come_on_demand() -> None:
    code = (
        "import sys, qakit.api as api\n"
        f"assert not {HEAVY!r} & sys.modules.keys()\n"
        "for name in api.__all__: getattr(api, name)\n"
        "assert 'numpy' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_settings_models_are_not_built_at_start_up() -> None:
    code = (
        "from qakit.registry import load_registry\n"
        "entries = load_registry().entries()\n"
        "built = [entry.name for entry in entries if entry.component.settings.__pydantic_complete__]\n"
        "assert entries and not built, built\n"
        "documented = [e.name for e in entries if e.component.settings.model_config.get('use_attribute_docstrings')]\n"
        "assert not documented, f'reads its source at start-up: {documented}'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", [(3, 10, 12, "final", 0), (3, 9, 0, "final", 0)])
def test_an_old_python_gets_one_line(
    version: tuple[int, int, int, str, int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ROOT / "qakit" / "__init__.py"
    ast.parse(source.read_text("utf-8"), feature_version=version[:2])  # else it would be a syntax error
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(source))
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: qakit needs Python 3.11 or newer; this is 3.{version[1]} (")
    assert shown.count("\n") == 1
