"""An embedded, offline guardrail for the prompts and responses of language models.

>>> import duoguard
>>> guard = duoguard.Guard()
>>> verdict = guard.check("How do I bake bread at home?")
>>> verdict.flagged
False

No verdict is not a safe verdict: a call that raises says nothing about the text.
"""

import os as _os

from . import _native
from ._bundles import bundles
from ._errors import (
    BundleReadError,
    EngineError,
    Error,
    InvalidArgumentError,
    InvalidModelError,
    OutOfMemoryError,
    PanicError,
    UnsupportedError,
)
from ._native import Batch, Guard, Span, Stream, Verdict, __version__, engines

__all__ = [
    "Batch",
    "BundleReadError",
    "EngineError",
    "Error",
    "Guard",
    "InvalidArgumentError",
    "InvalidModelError",
    "OutOfMemoryError",
    "PanicError",
    "Span",
    "Stream",
    "UnsupportedError",
    "Verdict",
    "__version__",
    "bundles",
    "engines",
]

if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_native.after_fork_in_child)
