"""Where bundles are: in this package, in packages of their own, or in a folder."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duoguard import Guard

_FOLDER = pathlib.Path(__file__).parent / "models"
# Packages that bring a bundle name its folder in an entry point of this group.
_GROUP = "duoguard.bundles"
# What `duoguard check` takes too, and why: bindings/python/README.md.
_DEFAULT = "base"


def bundles() -> dict[str, str]:
    """The folders of the bundles that are installed, by name.

    >>> sorted(bundles())
    ['base', 'mini']
    """
    from importlib.metadata import entry_points

    found = {path.name: str(path) for path in _FOLDER.iterdir() if path.is_dir()}
    for entry in entry_points(group=_GROUP):
        found[entry.name] = os.fspath(entry.load())
    return found


def find(bundle: str | os.PathLike[str] | None) -> tuple[str, str]:
    """What names a bundle, and its folder. A name is without a separator; a path is kept whole."""
    if bundle is None:
        bundle = _DEFAULT
    if isinstance(bundle, os.PathLike) or os.path.basename(bundle) != bundle:
        folder = os.path.abspath(bundle)
        return folder, folder
    # Without a look at all installed packages, which takes longer than opening it.
    if (_FOLDER / bundle).is_dir():
        return bundle, str(_FOLDER / bundle)
    installed = bundles()
    if bundle not in installed:
        from ._errors import InvalidArgumentError

        names = ", ".join(sorted(installed))
        raise InvalidArgumentError(
            f"no bundle {bundle!r} is installed; there are: {names}. "
            f"A folder is given as a path: {os.path.join('.', bundle)!r}"
        )
    return bundle, installed[bundle]


def reopen(bundle: str, engine: str | None, threads: int, public_key: str | None) -> Guard:
    """What a pickled Guard becomes."""
    from . import Guard

    return Guard(bundle, engine=engine, threads=threads, public_key=public_key)
