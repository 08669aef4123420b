"""What a traceback may show of the library's error below one of ours: the same error, without the secrets it quotes.

Libraries put the URL, the bucket or the header that they were given into their messages, and whoever does not catch an
error sees all of them, one below the other.
"""

from __future__ import annotations

from typing import Iterable, List, Optional, Tuple

from .translation import redacted

_DEEPEST = 20


def shown_cause(error: BaseException, secrets: Iterable[str]) -> BaseException:
    """Return *error* where no message of its chain shows one of *secrets*, and else its like without them.

    The like is of the same class and has the same attributes, so what asks for a cause finds what it looks for.
    ``raise translated(error, path, secrets=secrets) from shown_cause(error, secrets)`` is how a border raises.
    """
    hidden = tuple(secrets)
    if not any(redacted(text, hidden) != text for link in _chain(error) for text in _texts(link)):
        return error
    below: Optional[BaseException] = None
    for link in reversed(_chain(error)):
        below = _like(link, hidden, below)
    return below or error


def _chain(error: BaseException) -> List[BaseException]:
    links: List[BaseException] = []
    link: Optional[BaseException] = error
    while link is not None and link not in links and len(links) < _DEEPEST:
        links.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return links


def _texts(error: BaseException) -> List[str]:
    inner = [text for member in getattr(error, "exceptions", ()) for text in _texts(member)]
    from traceback import format_exception_only

    return [*format_exception_only(type(error), error), repr(error), *inner]


def _like(error: BaseException, secrets: Tuple[str, ...], below: Optional[BaseException]) -> BaseException:
    said, seen = redacted(str(error), secrets), redacted(repr(error), secrets)
    made = _of_its_class(error, said, seen) or Exception(f"{type(error).__name__}: {said}")
    made.__cause__ = below
    return made.with_traceback(error.__traceback__)


def _of_its_class(error: BaseException, said: str, seen: str) -> Optional[BaseException]:
    own = type(error)
    members = {
        "__module__": own.__module__,
        "__qualname__": own.__qualname__,
        "__str__": lambda self: said,
        "__repr__": lambda self: seen,
    }
    like = type(own.__name__, (own,), members)
    try:
        # Without __init__, which asks for what only the library has; the arguments are nothing but the message.
        made: BaseException = like.__new__(like, said)  # type: ignore[assignment]
    except (TypeError, ValueError):
        return None  # a class that is made in a way of its own, such as a group of errors
    vars(made).update({name: value for name, value in vars(error).items() if name != "__notes__"})
    return made
