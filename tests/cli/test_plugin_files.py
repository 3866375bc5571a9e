"""Plugins of one file: named on the command line or in a recipe, kept with the run, and never run unasked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command_line import Invoke

from qakit import plugin_code, trust
from qakit.errors import PluginError, UsageError
from qakit.plugin_code import PluginCode
from qakit.recipe.dump import dump_recipe, recipe_data
from qakit.recipe.load import load_recipe, load_resolved
from qakit.registry import load_registry
from qakit.runs import Run
from qakit.submit.wheel import make_wheels
from qakit.training.events import silence
from qakit.workflows.launching import train_in_worker
from qakit.workflows.push import push

ROOT = Path(__file__).resolve().parents[2]

HEAD = '''\
"""A head in one file."""

import os
from pathlib import Path

from torch import nn
from torch.nn import functional

from qakit.api import Component, HeadOutput, NoSettings, SpanCandidates, best_spans, hookimpl

if "MARK" in os.environ:
    Path(os.environ["MARK"]).write_text("this code was run")


class Flat(nn.Module):
    reads = "tokens"

    def __init__(self, _settings, runtime):
        super().__init__()
        self.output = nn.Linear(runtime.hidden_size, 2)
        self.k, self.longest = runtime.n_best, runtime.max_answer_length

    def forward(self, hidden, batch):
        start, end = self.output(hidden).float().unbind(dim=-1)
        loss = None
        if batch.target_first is not None:
            pairs = (start, batch.target_first), (end, batch.target_last)
            loss = sum(functional.cross_entropy(scores, target) for scores, target in pairs)

        return HeadOutput(loss, {"start": start, "end": end})

    def decode(self, scores, batch):
        start, end = scores["start"], scores["end"]
        masks = {"start_mask": batch.start_mask, "end_mask": batch.context_mask}
        first, last, score = best_spans(start, end, **masks, k=self.k, max_length=self.longest)
        return SpanCandidates(first, last, score, null=start[:, 0] + end[:, 0])


@hookimpl
def qakit_register_heads():
    return [Component(name="flat", summary="A head in one file", settings=NoSettings, build=Flat)]
'''


@dataclass(frozen=True)
class Machine:
    """As if nobody had ever used qakit here."""

    mark: Path

    @property
    def ran(self) -> bool:
        return self.mark.exists()


def forget() -> None:
    plugin_code._loaded.clear()
    load_registry.cache_clear()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Another machine: nothing was agreed to, nothing is loaded, and the code would leave a mark."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv(trust.TRUST_VARIABLE, "")
    monkeypatch.setenv(plugin_code.FILES_VARIABLE, "")
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    forget()
    yield Machine(tmp_path / "mark")
    forget()


@pytest.fixture(scope="module")
def files(small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """my_head.py, and a recipe that names its head without naming the file."""
    folder = tmp_path_factory.mktemp("plugin-file")
    (folder / "my_head.py").write_text(HEAD)
    (folder / "bare.yaml").write_text(f"extends: {small_recipe}\nhead: flat\ntrain: {{max_steps: 2}}\n")
    (folder / "listed.yaml").write_text("extends: bare.yaml\nplugins: [my_head.py]\n")
    return folder


@pytest.fixture(scope="module")
def run(files: Path, invoke: Invoke, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained with the file named on the command line."""
    folder = tmp_path_factory.mktemp("plugin-file-run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder.parent / "config"))
        patch.setenv(trust.TRUST_VARIABLE, "")
        file, recipe = files / "my_head.py", files / "bare.yaml"
        result = invoke("--plugin", file, "train", recipe, "--output", folder, "--quiet")
        assert result.exit_code == 0, result.output
        forget()
        judged = invoke("evaluate", folder, "--json")  # without the option: this machine has agreed
        assert judged.exit_code == 0, judged.output
        forget()
    return folder


def said(result: object) -> str:
    return " ".join(f"{result.output} {result.exception}".split())  # type: ignore[attr-defined]


def test_a_run_keeps_the_code_and_its_hash(run: Path, files: Path) -> None:
    code = PluginCode("my_head.py", HEAD)
    text = (run / "recipe.yaml").read_text()
    assert f"sha256: {code.sha256}" in text
    assert "      class Flat(nn.Module):\n" in text, "as people read it"
    plugins = json.loads((run / "meta.json").read_text())["plugins"]
    assert plugins["head"] == f"{code.package}:flat of {code.package}:my_head file"


def test_a_named_file_is_listed_and_gone_afterwards(elsewhere: Machine, files: Path, invoke: Invoke) -> None:
    listed = json.loads(invoke("--plugin", files / "my_head.py", "plugins", "--kind", "heads", "--json").stdout)
    assert "flat" in [each["name"] for each in listed["components"]]
    listed = json.loads(invoke("plugins", "--kind", "heads", "--json").stdout)
    assert "flat" not in [each["name"] for each in listed["components"]]


@pytest.mark.parametrize(
    "command",
    [
        ("ask", "{run}", "?", "--context", "a b"),
        ("evaluate", "{run}"),
        ("predict", "{run}", "--split", "test", "--output", "{out}"),
        ("train", "--resume", "--output", "{run}"),
        ("view", "{run}"),
        ("compare", "{run}", "{other}"),
        ("export", "{run}", "--merge", "--output", "{out}"),
        ("runs", "list", "{parent}"),
        ("recipes", "show", "{run}/recipe.yaml"),
        ("recipes", "validate", "{run}/recipe.yaml"),
        ("train", "{run}/recipe.yaml", "--output", "{out}"),
        ("ensemble", "{run}", "{other}", "--output", "{out}"),
    ],
    ids=lambda command: " ".join(command[:2]).replace("{run}", "RUN"),
)
def test_the_code_of_a_received_run_is_not_run(
    elsewhere: Machine, run: Path, invoke: Invoke, tmp_path: Path, command: tuple[str, ...]
) -> None:
    received, other = tmp_path / "received" / "run", tmp_path / "received" / "other"
    shutil.copytree(run, received)
    shutil.copytree(run, other)
    places = {"run": received, "other": other, "parent": received.parent, "out": tmp_path / "out.csv"}
    result = invoke(*(word.format(**places) for word in command))
    assert not elsewhere.ran
    if command[:2] == ("runs", "list"):
        assert result.exit_code == 0, said(result)
        assert "received/run" in result.output.replace("\n", "")
    if command[0] == "export" or command[:2] == ("runs", "list"):  # they do without what the recipe says
        return
    assert result.exit_code == 2
    code = PluginCode("my_head.py", HEAD)
    wanted = f"brings code along, the plugin my_head.py (sha256 {code.sha256}), and it was not run"
    assert wanted in said(result), said(result)
    assert "Traceback" not in said(result)
    assert not (tmp_path / "out.csv").exists()


def test_a_list_of_runs_is_no_reason_to_ask(elsewhere: Machine, run: Path, invoke: Invoke) -> None:
    questions: list[str] = []
    token = trust.asked_by.set(lambda question: not questions.append(question))
    try:
        (listed,) = json.loads(invoke("runs", "list", run.parent, "--json").stdout)
    finally:
        trust.asked_by.reset(token)
    assert not questions
    assert not elsewhere.ran
    assert listed["run"] == str(run)


def test_a_process_that_is_started_has_the_code_that_its_recipe_holds(
    elsewhere: Machine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.TRUST_VARIABLE, PluginCode("my_head.py", HEAD).sha256)
    recipe = recipe_data(load_recipe(files / "listed.yaml").recipe)
    forget()
    output = str(tmp_path / "run")
    trained = train_in_worker(silence, recipe=recipe, output=output, resume=False, began=0.0, deadline=None)
    assert elsewhere.ran
    assert Run(Path(trained)).metrics_file.is_file()


def test_whoever_sits_at_a_terminal_is_asked_once(elsewhere: Machine, run: Path) -> None:
    questions: list[str] = []
    token = trust.asked_by.set(lambda question: bool(questions.append(question)))
    try:
        with pytest.raises(PluginError, match="it was not run"):
            load_resolved(run / "recipe.yaml")
        assert not elsewhere.ran
        trust.asked_by.set(lambda question: not questions.append(question))
        assert load_resolved(run / "recipe.yaml").head.name.endswith(":flat")
        assert elsewhere.ran
        forget()
        load_resolved(run / "recipe.yaml")
    finally:
        trust.asked_by.reset(token)
    assert len(questions) == 2
    assert questions[0].startswith(f"{run / 'recipe.yaml'} brings code along")


def test_a_hash_in_the_environment_is_an_agreement(
    elsewhere: Machine, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = PluginCode("my_head.py", HEAD).sha256
    monkeypatch.setenv(trust.TRUST_VARIABLE, f"{'0' * 64}, {digest[:12]}")
    with pytest.raises(PluginError, match="it was not run"):
        load_resolved(run / "recipe.yaml")  # a part of a hash is none
    monkeypatch.setenv(trust.TRUST_VARIABLE, f"{'0' * 64}, {digest}")
    load_resolved(run / "recipe.yaml")
    assert elsewhere.ran


def test_who_agrees_to_one_text_agrees_to_no_other(
    elsewhere: Machine, run: Path, files: Path, invoke: Invoke, tmp_path: Path
) -> None:
    assert invoke("--plugin", files / "my_head.py", "plugins").exit_code == 0
    elsewhere.mark.unlink()
    forget()
    text = (run / "recipe.yaml").read_text()
    changed = tmp_path / "recipe.yaml"
    changed.write_text(text.replace("this code was run", "another text"))
    result = invoke("recipes", "validate", changed)
    assert "the text of my_head.py was changed: its sha256 is" in said(result)
    other = PluginCode("my_head.py", HEAD.replace("this code was run", "another text"))
    mine = PluginCode("my_head.py", HEAD)
    changed.write_text(
        changed.read_text().replace(mine.sha256, other.sha256).replace(mine.sha256[:12], other.sha256[:12])
    )
    result = invoke("recipes", "validate", changed)
    assert result.exit_code == 2
    assert "it was not run" in said(result)
    assert not elsewhere.ran


def test_a_recipe_that_lists_a_file_asks_too_and_then_keeps_it(
    elsewhere: Machine, files: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke("recipes", "validate", files / "listed.yaml")
    assert result.exit_code == 2
    assert f"{files / 'listed.yaml'} brings code along" in said(result)
    assert not elsewhere.ran
    listed = invoke("recipes", "list", files)
    assert (listed.exit_code, "invalid: 1 problem" in said(listed)) == (0, True), said(listed)
    code = PluginCode.read(files / "my_head.py")
    monkeypatch.setenv(trust.TRUST_VARIABLE, code.sha256)
    recipe = load_recipe(files / "listed.yaml").recipe
    assert recipe.head.name == f"{code.package}:flat"
    assert [each.model_dump() for each in recipe.plugins if not isinstance(each, str)] == [
        {"file": "my_head.py", "sha256": code.sha256, "code": HEAD}
    ]


def test_two_recipes_have_files_of_one_name_each_its_own(
    elsewhere: Machine, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_head.py").write_text(HEAD.replace("A head in one file", "Another head"))
    (tmp_path / "listed.yaml").write_text(f"extends: {files / 'bare.yaml'}\nplugins: [my_head.py]\n")
    codes = [PluginCode.read(folder / "my_head.py") for folder in (files, tmp_path)]
    monkeypatch.setenv(trust.TRUST_VARIABLE, ",".join(code.sha256 for code in codes))
    registry = load_registry()
    recipes = [load_recipe(folder / "listed.yaml", registry=registry).recipe for folder in (files, tmp_path)]
    found = [registry.get("heads", recipe.head.name).component.summary for recipe in recipes]
    assert found == ["A head in one file", "Another head"]
    assert "flat" not in registry.names("heads")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.py", "x = 1\ny = z\n", "broken.py, line 2: cannot be imported: NameError: name 'z' is not defined"),
        ("syntax.py", "x = (\n", "cannot be imported: SyntaxError: '(' was never closed"),
        ("empty.py", "", "implements no hook"),
        ("my-head.py", HEAD, "'my-head.py' must be named like a module"),
        ("latin.py", b"\xff\xfe\xfd", "is no UTF-8 text, from byte 0 on"),
    ],
)
def test_a_file_that_is_no_plugin_is_one_line_with_its_place(
    elsewhere: Machine, files: Path, invoke: Invoke, tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    content = text.encode() if isinstance(text, str) else text
    (tmp_path / name).write_bytes(content)
    result = invoke("--plugin", tmp_path / name, "plugins")
    assert (result.exit_code, message in said(result)) == (2, True), said(result)
    (tmp_path / "recipe.yaml").write_text(f"extends: {files / 'bare.yaml'}\nplugins:\n- {name}\n")
    trust.agree(PluginCode(name, content.decode(errors="replace")))
    result = invoke("recipes", "validate", tmp_path / "recipe.yaml")
    assert (result.exit_code, message in said(result)) == (2, True), said(result)
    assert "recipe.yaml:3:3: plugins:" in said(result)


def test_a_file_that_is_not_there_is_named(files: Path, invoke: Invoke, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"extends: {files / 'bare.yaml'}\nplugins:\n- nowhere.py\n")
    assert f"recipe.yaml:3:3: plugins.0: file not found: {tmp_path / 'nowhere.py'}" in said(
        invoke("recipes", "validate", recipe)
    )
    assert "nowhere.py cannot be read: No such file" in said(invoke("--plugin", "nowhere.py", "plugins"))


@pytest.mark.parametrize(
    "end",
    ["", "\n", "\n\n", "# no line break", "x = '\u2028'\n", "x = 1 \n", "  \n", "y = '''\n\n  a\n'''\n", "\r\n"],
    ids=repr,
)  # fmt: skip
def test_the_text_comes_back_from_a_recipe_as_it_was(elsewhere: Machine, files: Path, tmp_path: Path, end: str) -> None:
    code = PluginCode("my_head.py", HEAD + end)
    (tmp_path / "my_head.py").write_bytes(code.code.encode())
    (tmp_path / "listed.yaml").write_text(f"extends: {files / 'bare.yaml'}\nplugins: [my_head.py]\n")
    trust.agree(code)
    recipe = load_recipe(tmp_path / "listed.yaml").recipe
    (tmp_path / "resolved.yaml").write_text(dump_recipe(recipe), "utf-8", newline="")
    assert load_resolved(tmp_path / "resolved.yaml") == recipe


def test_such_code_goes_to_no_machine_that_would_not_ask(
    elsewhere: Machine, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.TRUST_VARIABLE, PluginCode("my_head.py", HEAD).sha256)
    recipe = load_resolved(run / "recipe.yaml")
    with pytest.raises(UsageError, match=r"my_head\.py@\w{12} is one file, whose code runs on no machine unasked"):
        make_wheels([recipe], tmp_path, load_registry())
    with pytest.raises(UsageError, match="make a package of it"):
        push(run, "ada/reads", listener=lambda event: None)


def test_code_of_a_file_is_run_in_two_places_alone() -> None:
    """Where a file is named on the command line, and behind the question whether the user agrees."""
    callers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "qakit").rglob("*.py")
        if re.search(r"(?<!def )\bload_code\(", path.read_text("utf-8"))
    }
    assert callers == {"qakit/registry.py", "qakit/recipe/own_plugins.py"}
    executing = [path for path in (ROOT / "qakit").rglob("*.py") if re.search(r"(?<![\w.])exec\(", path.read_text())]
    assert [path.name for path in executing] == ["plugin_code.py"]
