"""How a recipe trains."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from qakit.recipe.section import Every, Section
from qakit.recipe.tricks import AdversarialSection, EmaSection, FreezingSection, RDropSection, SoupSection, SwaSection


class TrainSection(Section):
    """The optimisation."""

    epochs: Annotated[float, Field(gt=0)] = 2.0
    """Passes over the training examples; fractions are allowed."""
    max_steps: PositiveInt | None = None
    """Stop after this many optimiser steps, if `epochs` does not end before."""
    max_hours: Annotated[float, Field(gt=0)] | None = None
    """All of this training, its last evaluation and the test predictions included, takes no longer: if not all steps
    fit, the schedule is compressed to those that do. Parts before a kill count, breaks don't."""
    batch_size: PositiveInt = 32
    """Windows per optimiser step, over all processes and accumulation steps."""
    accumulation: PositiveInt | Literal["auto"] = 1
    """Split each step's batch into this many forward passes, to save memory; the result is the same. `auto`: as few as
    fit into memory; tried before the first step, and noted in the run's meta.json."""
    token_budget: PositiveInt | None = None
    """Instead of a fixed number of windows: as many as fit in this many padded tokens per optimiser step."""
    group_by_length: bool = True
    """Put windows of similar length into one batch: less padding."""
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw"
    """`adamw_8bit` keeps the moments of larger parameters in 8 bits, about 2 bytes for each weight in place of 8
    (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization"): `pip install 'qakit[8bit]'`."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-5
    """Peak rate of the backbone (AdamW)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Rates fall from layer to layer (e.g. 0.9): the top layer gets `learning_rate` times this, each one below it this
    share of the one above, the embeddings the least."""
    head_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Peak rate of the head; by default `learning_rate`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Not applied to biases and normalisation weights."""
    head_weight_decay: Annotated[float, Field(ge=0)] | None = None
    """Weight decay of the head's matrices; by default `weight_decay`."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """AdamW's decay rates of the moments."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's denominator term."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """What the rate does after warmup: falls to zero along a line or a half cosine, or stays."""
    warmup: Annotated[float, Field(ge=0)] = 0.1
    """Steps of linear warmup; below 1 it is a share of all steps. Step s of w, from 0, has (s+1)/(w+1) of the rate."""
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Clip the gradient's norm; null for no clipping."""
    precision: Literal["auto", "fp32", "bf16", "fp16", "bf16_emulated"] = "auto"
    """`auto`: bf16 where the device is fast at it, else fp32 (fp16 on GPUs without bf16). On these `bf16` is fp16, too,
    with a warning; `bf16_emulated` is bf16 everywhere, there many times slower."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2", "flash_deberta"] = "auto"
    """`auto`: on a CPU eager in training (its backward is faster there) and SDPA in scoring; SDPA on a GPU, but
    eager for DeBERTa. `flash_deberta`: a fused kernel for DeBERTa v2 and v3, on CUDA, by the extra `flash-deberta`.
    `flash_attention_2`: with the package `flash-attn`, on cards from Ampere on; ModernBERT without any padding."""
    gradient_checkpointing: bool = False
    """Keep only the layers' inputs for the backward pass and compute the rest anew: about a third more time, much less
    memory, the same result (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost")."""
    compile: bool = False
    """`torch.compile` the backbone."""
    ema: EmaSection | None = None
    """Evaluate and keep a moving average of the weights (`ema: {}` for the defaults)."""
    swa: SwaSection | None = None
    """Evaluate and keep the equal average of the weights of the training's last part (`swa: {}` for the defaults)."""
    soup: SoupSection | None = None
    """At the end, average those evaluated weights that do better on validation together (`soup: {}` for the
    defaults)."""
    adversarial: AdversarialSection | None = None
    """Compute each step a second time on weights that are moved to where the loss is larger; twice the work."""
    r_drop: RDropSection | None = None
    """Read every input twice under different dropout; the readings should agree (`r_drop: {}` for the defaults). Twice
    the work."""
    freezing: FreezingSection | None = None
    """Parts of the backbone that are frozen at first: `{stages: [{until: 0.5, embeddings: true, layers: 4}]}`, `until`
    in epochs, or `{gradual: 0.1}` (Howard & Ruder 2018, gradual unfreezing)."""
    log_every: PositiveInt = 10
    """Steps between lines in metrics.jsonl."""
    evaluate_before: bool = False
    """Evaluate the untrained model too, as a starting point for the curves."""
    evaluate_every: Every = "epoch"
    """Evaluate on the validation file every `epoch` or every N steps."""
    evaluations: PositiveInt | None = None
    """Instead of `evaluate_every`: evaluate at least so many times, evenly spread over the training (10 for curves)."""
    validation_loss: bool = True
    """Measure the loss at each evaluation, too: on windows as training has them, at most 2,048, without dropout."""
    checkpoint_every: Every = "epoch"
    """Write a checkpoint every `epoch` or every N steps, and in any case before each evaluation."""
    keep_checkpoints: PositiveInt = 2
    """How many of the latest checkpoints stay. With two, a damaged one costs an interval and not the run."""
    keep: Literal["merged", "adapter"] = "merged"
    """The model that a run keeps: `merged` is whole; `adapter` is only what was trained, and the rest is read from the
    backbone's source, which must stay there (for studies with many runs)."""
    max_skipped: PositiveInt = 10
    """Steps whose loss or gradients are not finite are left out; so many in a row end the training."""
    select_by: str | None = None
    """Metric that decides which weights are kept; by default the recipe metric's primary one. Larger is better."""
    early_stopping: PositiveInt | None = None
    """Stop after this many evaluations without a better one."""

    @property
    def parts(self) -> int:
        """The forward passes that a step begins with, before memory has a say."""
        return 1 if self.accumulation == "auto" else self.accumulation

    @model_validator(mode="after")
    def _flash_in_half_precision(self) -> Self:
        if self.attention == "flash_attention_2" and self.precision == "fp32":
            raise ValueError("flash_attention_2 computes in half precision: set precision to auto, bf16 or fp16")
        return self

    @model_validator(mode="after")
    def _one_average(self) -> Self:
        if self.ema is not None and self.swa is not None:
            raise ValueError("ema and swa are two averages of the same weights, and one is evaluated: leave one out")
        return self
