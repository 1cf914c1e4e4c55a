"""What Jupyter writes into a notebook about the kernel that it starts.

A notebook that says the same of its kernel as the kernel says of itself is not changed by being opened.
"""

from __future__ import annotations

import sys
from typing import Any


def kernelspec() -> dict[str, str]:
    return {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def language_info() -> dict[str, Any]:
    return {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": ".".join(map(str, sys.version_info[:3])),
    }
