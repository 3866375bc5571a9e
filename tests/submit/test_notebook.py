"""What is brought to Kaggle for competitions that take notebooks only."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qakit.errors import UsageError
from qakit.submit.notebook import NotebookOutput, notebook_name
from qakit.submit.wheel import make_wheel, needs_of


@pytest.mark.parametrize(
    "written",
    ["ada/my-notebook", "https://www.kaggle.com/code/ada/my-notebook", "https://www.kaggle.com/ada/my-notebook/"],
)
def test_ways_to_write_a_notebook(written: str) -> None:
    assert notebook_name(written) == "ada/my-notebook"


@pytest.mark.parametrize("written", ["", "my-notebook", "a/b/c", "a/ b", "https://example.com/a/b"])
def test_what_is_no_notebook(written: str) -> None:
    with pytest.raises(UsageError, match="USER/NAME"):
        notebook_name(written)


def test_a_version_of_a_notebook_stands_for_its_output() -> None:
    first = NotebookOutput("qa-cup", "ada/nb", 1, "m")
    assert first.matches(first.record())
    assert first.matches(NotebookOutput("qa-cup", "ada/nb", 1, "another message").record())
    for other in (
        NotebookOutput("qa-cup", "ada/nb", 2, "m"),
        NotebookOutput("other", "ada/nb", 1, "m"),
        NotebookOutput("qa-cup", "ada/nb", 1, "m", file="other.csv"),
    ):
        assert not first.matches(other.record())
    assert first.record().notebook == "ada/nb@1"


def test_the_record_keeps_what_notebook_it_was(tmp_path: Path) -> None:
    output = NotebookOutput("qa-cup", "ada/nb", 3, "m")
    assert '"notebook": "ada/nb@3"' in output.keep(output.record(), tmp_path).read_text()


def test_an_installed_distribution_becomes_a_wheel_again(tmp_path: Path) -> None:
    """Of a small pure distribution that is installed in the ordinary way."""
    wheel = make_wheel(tmp_path, name="pluggy")
    version = importlib.metadata.version("pluggy")
    assert wheel.name == f"pluggy-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        assert opened.testzip() is None
        record = opened.read(f"pluggy-{version}.dist-info/RECORD").decode()
    assert "pluggy/__init__.py" in names
    assert not any(name.endswith(("INSTALLER", "direct_url.json", ".pyc")) for name in names)
    assert {line.split(",")[0] for line in record.splitlines()} == set(names)
    code = "import pluggy, sys; sys.exit(sys.argv[1] not in pluggy.__file__)"
    done = subprocess.run([sys.executable, "-c", code, str(wheel)], env={"PYTHONPATH": str(wheel)}, check=False)
    assert done.returncode == 0


def test_what_a_wheel_needs(tmp_path: Path) -> None:
    wheel = tmp_path / "a-1-py3-none-any.whl"
    metadata = (
        "Metadata-Version: 2.4\nName: a\nVersion: 1\nRequires-Dist: torch>=2.6\nRequires-Dist: ruamel.yaml (>=0.18)\n"
        "Requires-Dist: kaggle<3; extra == 'kaggle'\n"
    )
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("a-1.dist-info/METADATA", metadata)
    assert needs_of(wheel) == ["torch", "ruamel.yaml"]
