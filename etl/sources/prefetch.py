"""Ask for the next things while one is being used, because the way to AWS and back is long.

What is asked for ahead is bounded by number and by bytes, and comes in the order it was asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from etl.errors import BedrockUsageError, RejectError, StoppedError
from etl.sources.stores import SMALL_BYTES, Content, Store, StoredFile

THREADS = 8
FILES_AHEAD = 16
BYTES_AHEAD = 32 << 20

_Asked = TypeVar("_Asked")
_Given = TypeVar("_Given")


def download(
    store: Store,
    files: Iterable[StoredFile],
    *,
    threads: int = THREADS,
    ahead: int = FILES_AHEAD,
    max_bytes: int = BYTES_AHEAD,
) -> Iterator[tuple[StoredFile, Content | BedrockUsageError]]:
    """Yield each file with its content, or why it could not be read, in the order of ``files``.

    Memory holds at most ``ahead`` files and ``max_bytes``, the one that was yielded last included.
    Raises StoppedError, and at its end what ``files`` raised.
    """

    def read(file: StoredFile) -> Content:
        try:
            return store.read(file)
        except BedrockUsageError:
            raise
        except Exception as error:
            raise RejectError(f"cannot be read ({type(error).__name__})") from None

    return prefetch(
        read,
        files,
        threads=threads,
        ahead=ahead,
        cost=lambda file: min(file.size, SMALL_BYTES),
        budget=max_bytes,
    )


def prefetch(
    function: Callable[[_Asked], _Given],
    items: Iterable[_Asked],
    *,
    ahead: int,
    threads: int = THREADS,
    cost: Callable[[_Asked], int] = lambda item: 0,
    weight: Callable[[_Given], int] = lambda given: 0,
    budget: int = 0,
) -> Generator[tuple[_Asked, _Given | BedrockUsageError], None, None]:
    """Yield each item with what the function makes of it, or the error that it raised, in order.

    The function runs in threads for up to ``ahead`` items, as long as their costs, and the weights
    of the results that are there, come to no more than the budget. Ending early waits for what runs
    and starts nothing else. Raises StoppedError, any error that is none of ours, and an error of
    ``items`` after all that came before it.
    """
    waiting: deque[tuple[_Asked, Future[_Given | BedrockUsageError]]] = deque()
    errors = list[BedrockUsageError]()

    def held() -> int:
        return sum(cost(item) + _weight(future, weight) for item, future in waiting)

    def first() -> tuple[_Asked, _Given | BedrockUsageError]:
        item, future = waiting.popleft()
        return item, future.result()

    pool = ThreadPoolExecutor(threads, "prefetch")
    try:
        for item in _until_error(items, errors):
            while waiting and (len(waiting) >= ahead or held() + cost(item) > budget):
                yield first()
            waiting.append((item, pool.submit(_attempt, function, item)))
        while waiting:
            yield first()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if errors:
        raise errors[0]


def _weight(future: Future[_Given | BedrockUsageError], weight: Callable[[_Given], int]) -> int:
    if not future.done():
        return 0
    result = future.result()
    return 0 if isinstance(result, BedrockUsageError) else weight(result)


def _until_error(items: Iterable[_Asked], errors: list[BedrockUsageError]) -> Iterator[_Asked]:
    try:
        yield from items
    except StoppedError:
        raise
    except BedrockUsageError as error:
        errors.append(error)


def _attempt(function: Callable[[_Asked], _Given], item: _Asked) -> _Given | BedrockUsageError:
    try:
        return function(item)
    except StoppedError:
        raise
    except BedrockUsageError as error:
        return error
