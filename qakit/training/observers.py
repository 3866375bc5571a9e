"""Observers: plugins that watch a training, as TensorBoard does. The first process alone has them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qakit.entry_points import describe, guarded
from qakit.errors import PluginFaultError
from qakit.outputs import around
from qakit.protocols import Observer, ObserverRuntime
from qakit.recipe.dump import recipe_data
from qakit.recipe.model import Recipe
from qakit.registry import Registry
from qakit.training.events import Event, Listener, Notice, Predicting, Preparing, StepDone


@dataclass(frozen=True, slots=True)
class Watch:
    """An observer, and what it is called in messages."""

    observer: Observer
    name: str


def observers_of(recipe: Recipe, folder: Path, registry: Registry) -> list[Watch]:
    """The recipe's observers of a training into ``folder``. None of them has begun.

    Raises:
        PluginError: one cannot be built; what it needs is not installed, for example.
    """
    whole = around(folder)
    runtime = ObserverRuntime(folder.name, folder, whole[-1].name if whole else folder.name, recipe_data(recipe))
    found = []
    for ref in recipe.observers:
        observer: Observer = registry.build("observers", ref.name, ref.settings, runtime)
        found.append(Watch(observer, f"{ref.name} of {registry.get('observers', ref.name).plugin}"))
    return found


@contextmanager
def watched(watches: Sequence[Watch], listener: Listener) -> Iterator[Listener]:
    """A listener that hands what happens to the observers, too: not how far a preparation or a prediction is, nor steps
    that are not logged. At the end they hear how the training ended.

    One that raises is reported once and hears nothing more; the training continues.
    """
    watching = list(watches)

    def tell(call: Callable[[Observer], object]) -> None:
        for watch in [*watching]:
            try:
                with guarded():
                    call(watch.observer)
            except (Exception, SystemExit) as error:
                watching.remove(watch)
                what = error.what if isinstance(error, PluginFaultError) else describe(error)
                listener(Notice(f"the observer {watch.name} failed and is left out from here on: {what}"))

    def listen(event: Event) -> None:
        listener(event)
        passing = isinstance(event, Preparing | Predicting) or (isinstance(event, StepDone) and event.loss is None)
        if watching and not passing:
            tell(lambda observer: observer.observe(event))

    try:
        yield listen
    except BaseException as error:
        ended = describe(error)
        tell(lambda observer: observer.close(ended))
        raise
    tell(lambda observer: observer.close(None))
