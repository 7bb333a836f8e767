"""Request the next items while one is being used, because a round trip to AWS is slow.

Prefetching is bounded by number and by bytes. Results come in the order of the items.
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

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def fetch_ahead(
    store: Store,
    files: Iterable[StoredFile],
    *,
    threads: int = THREADS,
    ahead: int = FILES_AHEAD,
    max_bytes: int = BYTES_AHEAD,
) -> Iterator[tuple[StoredFile, Content | BedrockUsageError]]:
    """Yield each file with its content, or why it could not be read, in the order of ``files``.

    Memory holds at most ``ahead`` files and ``max_bytes``, including the file yielded last. Raises
    StoppedError, and at the end what ``files`` raised.
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
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    ahead: int,
    threads: int = THREADS,
    cost: Callable[[_Item], int] = lambda item: 0,
    weight: Callable[[_Result], int] = lambda given: 0,
    budget: int = 0,
) -> Generator[tuple[_Item, _Result | BedrockUsageError], None, None]:
    """Yield each item with the function's result, or the error that it raised, in order.

    The function runs in threads for up to ``ahead`` items, as long as their costs plus the weights
    of the finished results stay within the budget. Closing early waits for running calls and starts
    no others. Raises StoppedError, any error that is not ours, and an error of ``items`` after all
    that came before it.
    """
    waiting: deque[tuple[_Item, Future[_Result | BedrockUsageError]]] = deque()
    errors = list[BedrockUsageError]()

    def held() -> int:
        return sum(cost(item) + _weight(future, weight) for item, future in waiting)

    def first() -> tuple[_Item, _Result | BedrockUsageError]:
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


def _weight(future: Future[_Result | BedrockUsageError], weight: Callable[[_Result], int]) -> int:
    if not future.done():
        return 0
    result = future.result()
    return 0 if isinstance(result, BedrockUsageError) else weight(result)


def _until_error(items: Iterable[_Item], errors: list[BedrockUsageError]) -> Iterator[_Item]:
    try:
        yield from items
    except StoppedError:
        raise
    except BedrockUsageError as error:
        errors.append(error)


def _attempt(function: Callable[[_Item], _Result], item: _Item) -> _Result | BedrockUsageError:
    try:
        return function(item)
    except StoppedError:
        raise
    except BedrockUsageError as error:
        return error
