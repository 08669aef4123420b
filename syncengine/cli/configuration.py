"""The user's own defaults: ``config.toml`` in the configuration folder, with the keys of a recipe."""

from __future__ import annotations

import os
from typing import Any, Dict


def config_file() -> str:
    """Return where the user's defaults are, whether there are any or not."""
    import platformdirs

    return os.path.join(platformdirs.user_config_dir("syncengine", appauthor=False), "config.toml")


def user_defaults() -> Dict[str, Any]:
    """Return the arguments that the user's configuration says; raises RecipeError like a recipe does."""
    place = config_file()
    if not os.path.exists(place):
        return {}
    from ..recipe import load_defaults

    return load_defaults(place)
