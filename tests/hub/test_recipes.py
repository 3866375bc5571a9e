"""Every shipped recipe, from the backbone and the data that it names: trained for some steps, judged, asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState
from hub import models, shipped
from hub.server import HubServer

from qakit.modeling import sources
from qakit.modeling.sources import find_source

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@pytest.fixture(scope="module")
def course_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What no hub has, where the recipes' variables say."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in shipped.environment(tmp_path_factory.mktemp("courses")).items():
            patch.setenv(name, value) if value is not None else patch.delenv(name, raising=False)
        yield


@pytest.fixture
def own_precision() -> Iterator[None]:
    """A process keeps the precision of its first training; these take the machine's, whatever ran before or comes."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_every_recipe_is_tried() -> None:
    assert len(shipped.recipes()) == 47


@pytest.mark.parametrize("name", models.LAYOUTS)
def test_the_document_says_what_is_fetched_of_a_layout(name: str, hub: HubServer) -> None:
    hub.publish(name, models.files_of(name))
    find_source(name)
    assert shipped.layout_row(name, hub) in shipped.DOCUMENT.read_text("utf-8"), "python tests/hub/table.py --write"


@pytest.fixture(scope="module")
def small_minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shipped.install_minilm(tmp_path_factory.mktemp("packages"))


@pytest.mark.sweep(7)
@pytest.mark.slow
@pytest.mark.usefixtures("course_files", "own_precision")
@pytest.mark.parametrize("recipe", shipped.recipes())
def test_a_shipped_recipe_works_from_the_names_in_it(
    recipe: str, hub: HubServer, small_minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if recipe != "quickstart.yaml":  # that one takes the real package
        monkeypatch.syspath_prepend(small_minilm)
        digest = sources.weights_sha256
        held = {small_minilm / "minilm" / "model.safetensors": MINILM_SHA256}
        monkeypatch.setattr(sources, "weights_sha256", lambda file: held.get(file) or digest(file))
    monkeypatch.setenv("QAKIT_CACHE", str(tmp_path / "cache"))  # empty, as the hub's
    shipped.publish(hub)
    outcome = shipped.run(recipe, hub, tmp_path)
    assert set(outcome.codes.values()) == {0}, outcome.said
    assert "predict" in outcome.codes
    assert len(outcome.answers) > 1
    sent = [name for files in outcome.fetched.values() for name in files]
    assert not set(sent) & set(models.DECOYS)
    for backbone in outcome.backbones:
        assert hub.fetched(backbone) == sorted(set(hub.fetched(backbone))), "fetched twice"
    assert outcome.row in shipped.DOCUMENT.read_text("utf-8"), "python tests/hub/table.py --write"
