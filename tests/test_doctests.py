"""Every example in the documentation of the package runs."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Iterator

import pytest

import syncengine


def modules() -> Iterator[str]:
    yield syncengine.__name__
    for found in pkgutil.walk_packages(syncengine.__path__, syncengine.__name__ + "."):
        if not found.name.endswith("__main__"):
            yield found.name


def examples(module: ModuleType) -> Iterator[doctest.DocTest]:
    return (test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples)


@pytest.mark.parametrize("name", sorted(modules()))
def test_the_examples_of_a_module_run(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL)
    for test in examples(import_module(name)):
        runner.run(test)

    assert runner.failures == 0


def test_there_are_examples() -> None:
    assert sum(len(list(examples(import_module(name)))) for name in modules()) >= 10
