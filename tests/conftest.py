"""Fixtures for the whole suite.

``hub`` stands in for the model hub: this process talks to it, and so do processes with ``hub_environment()``.

    from hub import datasets, faults, models

    hub.publish("hfl/chinese-lert-base", models.files_of("hfl/chinese-lert-base"))  # or a folder, or {path: content}
    hub.publish_dataset("rajpurkar/squad_v2", datasets.squad(version_2=True))
    hub.inject(faults.TRUNCATED, "file", path="pytorch_model.bin")  # once; times=None: always
    assert hub.fetched("OWNER/NAME") == ["config.json", ...]        # the files whose content was sent
    set_hub(HF_TOKEN=TOKEN, HF_HUB_OFFLINE="1")                     # as if set before the start; None: not set
    hub.stop()                                                      # no network from here on
"""

from __future__ import annotations

import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import command_line
import memory
import quick
from command_line import Invoke
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure
from plugin_packages import write_package

if TYPE_CHECKING:
    from crew import Crew
    from hub.server import HubServer
    from ray_nodes import RayNodes

ROOT = Path(__file__).resolve().parents[1]

# What a shell starts in the background ignores Ctrl-C, what `nohup` starts a lost terminal, and so does all that they
# start: tests send signals.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

memory.write_there()

# No test is timed: another process on the machine is no fault of the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test with ``sweep(n)`` one case in n is in `make test`, always the same; the others are exhaustive."""
    sweeps = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        if item.get_closest_marker("sweep") is not None:
            sweeps[item.nodeid.partition("[")[0]].append(item)
    for cases in sweeps.values():
        cases.sort(key=lambda case: crc32(case.name.encode()))  # neighbours are alike
        (share,) = cases[0].get_closest_marker("sweep").args  # type: ignore[union-attr]
        for case in cases[-(-len(cases) // share) :]:
            case.add_marker("exhaustive")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The developers' folder of real data beside the checkout; tests that want it are skipped without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the developers' data folder is not here")
    return folder


SAMPLES = ROOT / "recipes" / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The SQuAD sample that the project ships."""
    return SAMPLES


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave the user's token cache alone, and what the user has agreed to."""
    os.environ["QAKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session", autouse=True)
def quickness() -> None:
    """See :mod:`quick`; and what was imported so far is no garbage that is worth looking through."""
    quick.be_quick()
    quick.set_imports_aside()


def pytest_runtest_logfinish() -> None:
    """What a test has imported is no garbage that the next ones' collections are worth looking through."""
    if len(sys.modules) > quick.looked_through:
        quick.set_imports_aside()


@pytest.fixture
def drawn_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for users."""
    monkeypatch.setattr(Figure, "savefig", quick.draw)


@pytest.fixture(scope="session")
def invoke() -> Invoke:
    """``invoke("train", recipe)`` runs a command line; see :func:`command_line.invoke`."""
    return command_line.invoke


@pytest.fixture(scope="session")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """``crew.run(2, "train", recipe)``: a command in real processes, quick because they are forked."""
    from crew import Crew

    one = Crew(tmp_path_factory.mktemp("crew"))
    yield one
    one.close()


@pytest.fixture(scope="module")
def forked_python(crew: Crew) -> Iterator[str]:
    """What a module's tests start with ``sys.executable``, and qakit for them, is forked as well; the real Python."""
    with pytest.MonkeyPatch.context() as patch:
        real = sys.executable
        patch.setattr(sys, "executable", str(crew.server.python))
        yield real


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A stand-in for the model hub, empty, with a cache of its own; see :mod:`hub.server`."""
    from hub.environment import pointed_at, variables
    from hub.server import HubServer

    from qakit import hub as client

    client._listing.cache_clear()  # a server before may have had the same port
    with HubServer() as server, pointed_at(variables(server.url, tmp_path_factory.mktemp("hf-home"))):
        yield server


@pytest.fixture
def set_hub(hub: HubServer) -> Callable[..., None]:
    """``set_hub(HF_HUB_OFFLINE="1")``: the variables of the hub's client, read anew; they fall with ``hub``."""
    from hub.environment import put

    return lambda **settings: put(settings)


@pytest.fixture
def hub_environment(hub: HubServer) -> Callable[..., dict[str, str]]:
    """``hub_environment(HF_TOKEN=...)``: the environment of a process that talks to the stand-in."""
    from hub.environment import for_processes

    return lambda **settings: for_processes(settings)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[EntryPoint, ...]]]:
    """Puts modules and a distribution that declares them on the path; returns the distribution's entry points."""
    modules: list[str] = []

    def put(package: str, *, version: str = "1.0", **sources: str) -> tuple[EntryPoint, ...]:
        folder = tmp_path / package
        modules.extend(write_package(folder, package, version=version, sources=sources))
        monkeypatch.syspath_prepend(folder)
        (distribution,) = distributions(path=[str(folder)])
        return tuple(distribution.entry_points)

    yield put
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers with random weights and a WordPiece tokenizer, in a folder: the same one each time.

    The vocabulary was trained on the sample once: the trainer breaks ties by chance.
    """
    from tiny_bert import save_tiny_bert
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    folder = tmp_path_factory.mktemp("tiny-bert")
    words = Path(__file__).with_name("tiny_vocabulary.txt").read_text("utf-8").splitlines()
    backend = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    save_tiny_bert(backend, folder, hidden_size=32, layers=2, positions=160)
    return folder


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[RayNodes]:
    """A Ray cluster of two nodes on this machine, where Ray is installed; see :mod:`ray_nodes`."""
    import ray_nodes

    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'qakit[ray]'")
    with ray_nodes.ray_nodes() as nodes:
        yield nodes
