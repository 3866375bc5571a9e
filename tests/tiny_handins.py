"""Tiny runs that are handed in, and `run.sh` as graders run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MEMBERS = {
    "linear_characters": ["predict.character_scores=true"],
    "joint_characters": [
        "head=joint_span",
        "backbone.overrides={num_hidden_layers: 1}",
        "predict.aggregation=max",
        "predict.no_answer=true",
        "predict.character_scores=true",
    ],
    "crf_characters": ["head=crf", "predict.aggregation=max_context", "predict.character_scores=true"],
}
"""Of an ensemble by any method for spans."""
HEADS = {
    "max_context": ["predict.aggregation=max_context", "backbone.overrides={num_hidden_layers: 1}"],
    "max": ["predict.aggregation=max", "predict.no_answer=true", "head.answerability_weight=0.2"],
    "joint": [
        "head={name: joint_span, layer_pooling: all, answerability_weight: 0.2}",
        "predict.no_answer=true",
        "postprocess=[special_chars, length_prior]",
        "writer=squad_json",
    ],
    "crf": ["head=crf", "writer=jsonl"],
    "interaction": ["head={name: joint_span, interaction: 4}", "predict.no_answer=true"],
    "joint_mean": [
        "head={name: joint_span, interaction: 2, answerability_weight: 0.2}",
        "predict.aggregation=mean",
        "predict.no_answer=true",
    ],
    "crf_mean": ["head={name: crf, answerability_weight: 0.2}", "predict.aggregation=mean"],
    **MEMBERS,
    "paragraphs": ["head=paragraph_scorer", "preprocess={train: concatenate, predict: {name: concatenate, step: 20}}"],
}

Train = Callable[..., Path]
"""``train_tiny``: see the fixture."""

SQUAD = """\
data: {{reader: squad, train: {data}/train.json, validation: {data}/dev.json, test: {data}/test.json}}
backbone: {{source: {backbone}}}
windows: {{max_length: 96, max_question_length: 24}}
preprocess: {{train: random_window, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 1, batch_size: 4, learning_rate: 2e-3, precision: fp32, evaluations: 1}}
metric: squad_v1
writer: {{name: csv, id_column: id, answer_column: answer}}
"""
GLUE = """\
data: {{reader: {{name: glue, task: {task}}}, train: {data}/train.tsv, validation: {data}/dev.tsv}}
backbone: {{source: {backbone}}}
windows: {{max_length: 32}}
preprocess: {{train: truncate, predict: truncate}}
head: {{name: classifier, pooling: mean}}
train: {{epochs: 1, batch_size: 4, learning_rate: 2e-3, precision: fp32, evaluations: 5}}
metric: {{name: glue, task: {task}}}
writer: csv
"""
YES_NO = """\
data:
  reader: {{name: table, id: id, question: q, context: c, answer_text: a}}
  train: {data}/said.json
  validation: {data}/said.json
backbone: {{source: {backbone}}}
windows: {{max_length: 96, max_question_length: 24}}
preprocess: {{train: {{name: stride, overlap: 32}}, predict: {{name: stride, overlap: 32}}}}
train: {{epochs: 6, batch_size: 4, learning_rate: 4e-3, precision: fp32, evaluations: 1}}
predict: {{no_answer: true}}
postprocess: [special_chars]
metric: squad_v1
writer: csv
"""
MULTI_SPAN = """\
data: {{reader: multispanqa, train: {data}/tagged.json, validation: {data}/tagged.json}}
backbone: {{source: {backbone}}}
windows: {{max_length: 64, max_question_length: 24}}
preprocess: {{train: {{name: stride, overlap: 16}}, predict: {{name: stride, overlap: 16}}}}
head: {{name: crf, spans: many}}
train: {{epochs: 3, batch_size: 4, learning_rate: 2e-3, precision: fp32, evaluations: 1}}
postprocess: [special_chars]
metric: multi_span
writer: squad_json
"""
ADL = """\
data: {{reader: adl, train: {data}/train.json, validation: {data}/valid.json, test: {data}/test.json}}
backbone: {{source: {backbone}}}
windows: {{max_length: 144, max_question_length: 24}}
preprocess: {{train: concatenate, predict: {{name: concatenate, overlap: 40}}}}
head: paragraph_scorer
train: {{epochs: 1, batch_size: 16, learning_rate: 2e-3, precision: fp32, evaluations: 5}}
metric: exact_match
writer: csv
"""
ODD = "Zoe\u0308 \u5beb\u4e86\u300a\u4e09\u570b\u6f14\u7fa9\u300b\uff0c in Sa\u0303o Paulo.\u3000\r\n"
"""Marks, Chinese, brackets, blanks of several kinds."""


def run_script(folder: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """run.sh, as graders run it."""
    environment = {**os.environ, "PYTHON": sys.executable, **variables}
    command = ["bash", str(folder / "run.sh"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
