"""What the built wheel and sdist hold, and that one can be built from the other."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
KINDS = (
    "adapters",
    "backbones",
    "ensemble",
    "glue",
    "heads",
    "metrics",
    "postprocess",
    "preprocess",
    "readers",
    "trackers",
    "writers",
)
PLUGINS = [f"qakit_{name}" for name in KINDS]


def build(source: Path, target: str, folder: Path) -> Path:
    """The wheel or sdist of ``source``, made with the build backend that is installed here: no network."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def sources(folder: Path) -> set[str]:
    """The package's files that must be shipped, relative to the folder that holds the package."""
    wanted = {path for path in folder.rglob("*") if path.suffix == ".py" or path.name == "py.typed"}
    return {path.relative_to(folder.parent).as_posix() for path in wanted}


def test_the_wheel_holds_the_core_the_plugins_and_nothing_else_at_the_top(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in names(wheel)}
    (metadata,) = (name for name in top if name.endswith(".dist-info"))
    assert top - {metadata} == {"qakit", *PLUGINS}


@pytest.mark.parametrize("package", ["qakit", *PLUGINS])
def test_the_wheel_holds_every_module_and_the_typing_marker(wheel: Path, package: str) -> None:
    wanted = sources(ROOT / package if package == "qakit" else ROOT / "plugins" / package)
    assert f"{package}/py.typed" in wanted
    assert f"{package}/__init__.py" in wanted
    assert wanted <= names(wheel)


def test_every_plugin_folder_is_shipped_and_declared() -> None:
    assert sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()) == PLUGINS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert sorted(project["project"]["entry-points"]["qakit"].values()) == PLUGINS
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(["qakit", *(f"plugins/{name}" for name in PLUGINS)])


def test_the_wheel_holds_every_recipe_and_sample(wheel: Path) -> None:
    recipes = {
        path.relative_to(ROOT / "recipes").as_posix() for path in (ROOT / "recipes").rglob("*") if path.is_file()
    }
    assert len(recipes) >= 5
    assert {f"qakit/bundled/recipes/{name}" for name in recipes} <= names(wheel)


def test_the_wheel_has_no_residue(wheel: Path) -> None:
    residue = ("__pycache__", ".pyc", ".tmp", ".ipynb_checkpoints", ".DS_Store")
    assert [name for name in names(wheel) if any(part in name for part in residue)] == []


def test_the_wheel_declares_the_command_the_plugins_and_the_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("/entry_points.txt"))
    text = archive.read(entry_points).decode()
    assert "qakit = qakit.cli:main" in text
    assert all(f" = {name}\n" in text for name in PLUGINS)
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "tests", "docs"} <= {
        path.name for path in source.iterdir()
    }
    assert names(build(source, "wheel", tmp_path)) == names(wheel)


def test_an_editable_install_points_at_the_core_and_the_plugins(tmp_path: Path) -> None:
    code = f"import hatchling.build as backend; backend.build_editable({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    archive = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    (path_file,) = (name for name in archive.namelist() if name.endswith(".pth"))
    assert archive.read(path_file).decode().split("\n")[:2] == [str(ROOT), str(ROOT / "plugins")]


@pytest.mark.parametrize("version", [(3, 11)])
def test_every_module_is_written_in_the_oldest_supported_python(version: tuple[int, int]) -> None:
    paths = [path for folder in ("qakit", "plugins", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 80
    for path in paths:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=version)


def test_constraints_pin_every_direct_dependency_exactly() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {name: version for name, _, version in (line.partition("==") for line in lines)}
    assert list(pins) == sorted(pins)
    assert len(pins) == len(lines) > 80
    assert all(version and not set(version) & set("<>=*+ ") for version in pins.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    for text in (*project["dependencies"], *extras):
        requirement = Requirement(text)
        assert pins[requirement.name.lower().replace("_", "-").replace(".", "-")] in requirement.specifier, text


def test_constraints_name_everything_that_is_needed_here() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "constraints.py")], capture_output=True, text=True, check=True
    )
    here = {line.partition("==")[0] for line in done.stdout.splitlines() if not line.startswith("#")}
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()}
    # What a CUDA build of torch needs besides depends on the machine.
    assert {name for name in here - pinned if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()
