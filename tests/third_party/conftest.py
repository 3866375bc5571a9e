"""Lets the tests of these packages run without installing them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(folder) for folder in Path(__file__).parent.glob("*/src")]
