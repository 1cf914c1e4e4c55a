#!/usr/bin/env python3
"""Runs the checker from a checkout of this repository, for pre-commit: nothing is installed."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from proofreader.__main__ import main  # noqa: E402 (the path comes first)

sys.exit(main())
