"""What is brought to Kaggle for competitions that take notebooks only."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qakit.errors import UsageError
from qakit.submit.notebook import _ipynb, notebook_name
from qakit.submit.pending import NotebookOutput
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


class Subprocess:
    """Notes what would be run."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []

    def run(self, command: list[str], *, check: bool) -> None:
        self.commands.append(command)


HOSTILE = [
    'a")] or __import__("os").mkdir("pwned") or [("',
    "a'; raise SystemExit('pwned')",
    "test\nraise SystemExit(1)",
    "[a-z]*.json",
    "TEST_FILE",
    "\\",
    "{INPUT}.json",
    "a b\u2028c.json",
]


@settings(max_examples=60, deadline=None)
@given(
    name=st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30))
)
def test_a_notebook_looks_for_the_file_of_that_name_whatever_the_name_is(name: str) -> None:
    """Its cells are executed: a name is never code, nor a pattern."""
    assume(name not in (".", "..") and len(name.encode("utf-8", "surrogatepass")) < 200)
    notebook = json.loads(json.dumps(_ipynb("qakit-run", name, "contexts.json")))
    _, install, predict = ("".join(cell["source"]) for cell in notebook["cells"])
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "competition")
        files.mkdir()
        assume(name != "contexts.json")
        for each in {name, "other.json", "test.json", "az.json", "contexts.json"}:
            try:
                (files / each).write_text("{}", "utf-8")
            except (OSError, UnicodeEncodeError):  # no file can have this name here
                assume(False)
        started = Subprocess()
        before = set(Path.cwd().iterdir())
        scope: dict[str, object] = {}
        exec("\n".join(line for line in install.splitlines() if line.startswith(("import ", "from "))), scope)
        scope |= {"os": SimpleNamespace(environ={}), "subprocess": started}
        exec(compile(predict, "cell", "exec"), scope | {"INPUT": Path(folder), "dataset": Path(folder, "dataset")})
        (command,) = started.commands
        options = dict(zip(command[5::2], command[6::2], strict=True))
        wanted = {"--input": str(files / name), "--contexts": str(files / "contexts.json")}
        assert options == wanted | {"--output": "submission.csv"}
        assert set(Path.cwd().iterdir()) == before
