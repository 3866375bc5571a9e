"""What other tools call what is in a recipe: transformers' scripts and arguments, and what notebooks copy from them."""

from __future__ import annotations

from collections.abc import Mapping

from qakit.recipe.annotations import all_keys
from qakit.recipe.model import Recipe

_OVERLAP = "preprocess.predict={name: stride, overlap: 128}"

NAMES: Mapping[str, str] = {
    "model": "backbone.source",
    "model_name": "backbone.source",
    "model_name_or_path": "backbone.source",
    "pretrained_model_name_or_path": "backbone.source",
    "checkpoint": "backbone.source",
    "tokenizer_name": "backbone.tokenizer",
    "config_overrides": "backbone.overrides",
    "train_file": "data.train",
    "validation_file": "data.validation",
    "valid_file": "data.validation",
    "val_file": "data.validation",
    "dev_file": "data.validation",
    "test_file": "data.test",
    "dataset_name": "data.train",
    "max_train_samples": "data.train_limit",
    "max_eval_samples": "data.validation_limit",
    "max_len": "windows.max_length",
    "maxlen": "windows.max_length",
    "max_sequence_length": "windows.max_length",
    "max_seq_len": "windows.max_length",
    "max_seq_length": "windows.max_length",
    "max_query_length": "windows.max_question_length",
    "doc_stride": _OVERLAP,
    "stride": _OVERLAP,
    "lr": "train.learning_rate",
    "num_epochs": "train.epochs",
    "n_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "bs": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "per_device_train_batch_size": "train.batch_size",
    "eval_batch_size": "predict.batch_size",
    "per_device_eval_batch_size": "predict.batch_size",
    "gradient_accumulation_steps": "train.accumulation",
    "grad_accum_steps": "train.accumulation",
    "accumulate_grad_batches": "train.accumulation",
    "adam_epsilon": "train.epsilon",
    "lr_scheduler_type": "train.schedule",
    "scheduler": "train.schedule",
    "warmup_ratio": "train.warmup",
    "warmup_steps": "train.warmup",
    "warmup_proportion": "train.warmup",
    "num_warmup_steps": "train.warmup",
    "max_norm": "train.max_grad_norm",
    "gradient_clip_val": "train.max_grad_norm",
    "clip_grad_norm": "train.max_grad_norm",
    "layerwise_lr_decay": "train.layer_decay",
    "llrd": "train.layer_decay",
    "fp16": "train.precision=fp16",
    "bf16": "train.precision=bf16",
    "torch_compile": "train.compile",
    "eval_steps": "train.evaluate_every",
    "evaluation_strategy": "train.evaluate_every",
    "eval_strategy": "train.evaluate_every",
    "save_steps": "train.checkpoint_every",
    "save_strategy": "train.checkpoint_every",
    "save_total_limit": "train.keep_checkpoints",
    "logging_steps": "train.log_every",
    "metric_for_best_model": "train.select_by",
    "early_stopping_patience": "train.early_stopping",
    "patience": "train.early_stopping",
    "n_folds": "folds={k: 5}",
    "num_folds": "folds={k: 5}",
    "n_splits": "folds={k: 5}",
    "n_best_size": "predict.n_best",
    "max_answer_len": "predict.max_answer_length",
    "version_2_with_negative": "predict.no_answer",
    "null_score_diff_threshold": "predict.null_threshold",
    "peft": "adapter",
    "lora": "adapter=lora",
    "random_seed": "seed",
}
"""A recipe's key, or one with the value that is meant."""
_STRIDE = "; what transformers calls the (doc) stride is how many tokens two windows share"


def _called(name: str) -> tuple[str, str, str]:
    """Key, value and reason for a name of another tool's; all empty for others."""
    key, _, value = NAMES.get(name, "").partition("=")
    return key, value, _STRIDE if NAMES.get(name) == _OVERLAP else ""


def key_hint(name: str) -> str:
    """A hint at what a key of another tool's is called in a recipe; empty for other names."""
    key, value, why = _called(name.lower())
    return f"here it is {key!r}{f' ({value})' if value else ''}{why}" if key else ""


def option_hint(option: str) -> str:
    """A hint at the ``--set`` that stands for an option (``--num-train-epochs``); empty where none does."""
    name = option.lstrip("-").replace("-", "_").lower()
    key, value, why = _called(name)
    key = key or next((place for place in all_keys(Recipe) if place.rpartition(".")[2] == name), "")
    setting = f"{key}={value or 'VALUE'}"
    return f"in a recipe's terms: --set {f'{setting!r}' if ' ' in setting else setting}{why}" if key else ""
