"""A property is tried with few examples always, and with twenty times as many under ``-m thorough``."""

from __future__ import annotations

import inspect
from functools import wraps
from typing import Any, Callable

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

EXAMPLES = 4
QUICK = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    # The drawn worlds are small, and shrinking one takes minutes: add Phase.shrink to look into a failure.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THOROUGH = settings(QUICK, max_examples=20 * EXAMPLES, derandomize=False)


def holds(*examples: Any, **strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a test of a check that takes drawn values, the *strategies*, besides pytest's own arguments.

    *examples* are dictionaries of values that are tried before any are drawn.
    """

    def decorate(check: Callable[..., None]) -> Callable[..., None]:
        def drawing(chosen: settings) -> Callable[..., None]:
            property_ = given(**strategies)(check)
            for each in examples:
                property_ = example(**each)(property_)
            return chosen(property_)

        quick, thorough = drawing(QUICK), drawing(THOROUGH)

        @wraps(check)
        def test(depth: str, **arguments: Any) -> None:
            {"quick": quick, "thorough": thorough}[depth](**arguments)

        own = [each for name, each in inspect.signature(check).parameters.items() if name not in strategies]
        depth = inspect.Parameter("depth", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        test.__signature__ = inspect.Signature([depth, *own])  # type: ignore[attr-defined]
        del test.__wrapped__  # type: ignore[attr-defined]
        depths = ["quick", pytest.param("thorough", marks=pytest.mark.thorough)]
        return pytest.mark.parametrize("depth", depths)(test)

    return decorate
