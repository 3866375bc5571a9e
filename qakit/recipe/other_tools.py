"""What other tools call what is in a recipe: transformers' scripts and arguments, and what notebooks copy from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qakit.recipe.annotations import all_keys
from qakit.recipe.model import Recipe

_OVERLAP = "preprocess.predict={name: stride, overlap: 128}"

NAMES: Mapping[str, str] = {
    name: key
    for key, names in {
        "backbone.source": ["model", "model_name", "model_name_or_path", "checkpoint", "pretrained_model_name_or_path"],
        "backbone.tokenizer": ["tokenizer_name"],
        "backbone.overrides": ["config_overrides"],
        "data.train": ["train_file", "dataset_name"],
        "data.validation": ["validation_file", "valid_file", "val_file", "dev_file"],
        "data.test": ["test_file"],
        "data.train_limit": ["max_train_samples"],
        "data.validation_limit": ["max_eval_samples"],
        "windows.max_length": ["max_len", "max_seq_len", "max_seq_length", "maxlen", "max_sequence_length"],
        "windows.max_question_length": ["max_query_length"],
        _OVERLAP: ["doc_stride", "stride"],
        "train.learning_rate": ["lr"],
        "train.epochs": ["num_epochs", "n_epochs", "num_train_epochs"],
        "train.batch_size": ["bs", "train_batch_size", "per_device_train_batch_size"],
        "predict.batch_size": ["eval_batch_size", "per_device_eval_batch_size"],
        "train.accumulation": ["gradient_accumulation_steps", "grad_accum_steps", "accumulate_grad_batches"],
        "train.accumulation=auto": ["micro_batch", "micro_batch_size", "auto_find_batch_size"],
        "train.epsilon": ["adam_epsilon"],
        "train.optimizer": ["optim", "optimiser"],
        "train.optimizer=adamw_8bit": ["adamw_bnb_8bit", "use_8bit_adam"],
        "train.schedule": ["lr_scheduler_type", "scheduler"],
        "train.warmup": ["warmup_ratio", "warmup_steps", "warmup_proportion", "num_warmup_steps"],
        "train.max_grad_norm": ["max_norm", "gradient_clip_val", "clip_grad_norm"],
        "train.precision=fp16": ["fp16"],
        "train.precision=bf16": ["bf16"],
        "train.compile": ["torch_compile"],
        "train.evaluate_every": ["eval_steps", "evaluation_strategy", "eval_strategy"],
        "train.checkpoint_every": ["save_steps", "save_strategy"],
        "train.keep_checkpoints": ["save_total_limit"],
        "train.log_every": ["logging_steps"],
        "train.select_by": ["metric_for_best_model"],
        "train.early_stopping": ["early_stopping_patience", "patience"],
        "predict.n_best": ["n_best_size"],
        "predict.max_answer_length": ["max_answer_len"],
        "predict.no_answer": ["version_2_with_negative"],
        "predict.null_threshold": ["null_score_diff_threshold"],
        "adapter": ["peft"],
        "adapter=lora": ["lora"],
        "seed": ["random_seed"],
        "observers=[tensorboard]": ["report_to"],
        "train.layer_decay": ["layerwise_lr_decay", "llrd"],
        "folds={k: 5}": ["n_folds", "num_folds", "n_splits"],
    }.items()
    for name in names
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


def options_hint(option: str, others: Sequence[str] = ()) -> str:
    """A hint at the ``--set`` that stands for an option (``--num-train-epochs``), and at those for others of a command
    line; empty where none does."""
    setting, why = _setting(option)
    names = dict.fromkeys(word.partition("=")[0] for word in others if word.startswith("--"))
    found = {name: _setting(name)[0] for name in names if name != option}
    also = ", ".join(f"{name}: {other}" for name, other in found.items() if other)
    here = f"in a recipe's terms: {setting}{why}" if setting else ""
    return "; ".join(part for part in (here, f"and {also}" if also else "") if part)


def _setting(option: str) -> tuple[str, str]:
    """What stands for an option here, and why; empty for nothing."""
    name = option.lstrip("-").replace("-", "_").lower()
    key, value, why = _called(name)
    key = key or next((place for place in all_keys(Recipe) if place.rpartition(".")[2] == name), "")
    setting = f"{key}={value or 'VALUE'}"
    return (f"--set {f'{setting!r}' if ' ' in setting else setting}", why) if key else ("", "")
