"""A process that reads files, and is killed by any that is as large as the environment says."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator

from etl.load.decoder import process
from etl.load.decoder.content import Decoded, Decoder

_DIES_OF = int(os.environ["TEST_READER_DIES_OF"])


class _Mortal(Decoder):
    def decode_small(self, data: bytes) -> Decoded | None:
        _die_of(data)
        return super().decode_small(data)

    def chunks(self, pieces: Iterable[bytes]) -> Iterator[Decoded]:
        return super().chunks(map(_die_of, pieces))


def _die_of(data: bytes) -> bytes:
    if len(data) >= _DIES_OF:
        os.kill(os.getpid(), signal.SIGKILL)
    return data


if __name__ == "__main__":
    process.Decoder = _Mortal  # type: ignore[misc]
    process.main()
