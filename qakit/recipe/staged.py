"""Recipe sections of trainings that build on others: folds, pseudo-labels, and distillation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.recipe.hub_data import DataSource
from qakit.recipe.section import PluginRef, RecipePath, Section


class FoldsSection(Section):
    """Cross-validation: `data.train` is split into `k` parts, and a model is trained for each part on the others.

    `data.validation` is not read: each model is judged on the part that it did not see.
    """

    k: Annotated[int, Field(ge=2, le=1000)] = 5
    """How many parts."""
    group_by: Literal["auto", "document", "context", "none"] = "auto"
    """What no split may divide: questions of the same `document` (an article), of the same `context`, or nothing.
    `auto`: the document where the file has documents, else the context where there is one, else nothing."""
    repeats: Literal["error", "together", "ignore"] = "error"
    """The same question, or the same context, in two groups would be on both sides of a split: stop with an `error`,
    keep such groups `together`, or `ignore` it (where the "question" is one of a few words, such as a sentiment)."""
    stratify_by: Literal["none", "label", "answer", "question"] = "none"
    """What every part shall have in the same shares, as far as groups allow: the classes (`label`), the kinds of
    `answer` (none, without a place, the whole context, a part of it), or the questions (a few words, as above)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the split alone, so that runs with other seeds have the same parts."""
    fold: PositiveInt | None = None
    """Train this one alone, counted from 1, as a run of its own; by default all of them."""
    combine: PluginRef = PluginRef(name="voting")
    """The ensembler (`qakit plugins --kind ensemblers`) that makes one answer to `data.test` of the models' answers."""

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Self:
        if self.fold is not None and self.fold > self.k:
            raise ValueError(f"fold: there are {self.k} folds, counted from 1")
        return self


SPLIT_FIELDS = ("k", "group_by", "repeats", "stratify_by", "seed")
"""What of the section decides the parts."""


class PseudoSection(Section):
    """Pseudo-labels: sure answers of another run to unlabelled questions, as further training examples.

    Source: Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
    ICML 2013 workshop.
    """

    from_run: RecipePath
    """The run that labels: one that did not see the validation questions. With `folds`, a run with the same folds; each
    fold takes the answers of the model that did not see its part."""
    file: DataSource | None = None
    """The questions; by default `data.test`."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Calibrated probability of the chosen answer from which on it is taken."""


class DistillSection(Section):
    """Distillation: the model also learns what other models answered to the training questions, out of fold.

    Source: Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network".
    """

    from_run: RecipePath
    """A run with `folds` over the same training data, or an ensemble of such runs; for spans with
    `predict.character_scores: true`. Their backbones and tokenizers may be others."""
    weight: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the teachers' probabilities in the loss; the rest is the labels'."""
    temperature: Annotated[float, Field(ge=0.1, le=100)] = 1.0
    """Both the teachers' and the student's logits are divided by it: above 1, what the teachers found less likely
    counts for more."""
