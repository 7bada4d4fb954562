"""Which account possesses which blocks.

An account may name a block by digest only if it has sent the block itself or holds it in an
object. What the pool has from others is "missing" to it, so a digest tells nothing about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, Engine, select

from blockstore import ZERO_ID, Blocks
from pithos_api.database.engine import PARAMETERS_MAX, insert_absent, reading, writing
from pithos_api.database.tables import possessions

RECORD_BATCH = 5000
"""Rows in one transaction, so that no writer waits long for another."""

T = TypeVar("T")


def record(engine: Engine, account: str, block_ids: Iterable[bytes]) -> None:
    """Note that the account has these blocks. Repeats and `ZERO_ID` do no harm."""
    for batch in _batches(block_ids, RECORD_BATCH):
        with writing(engine) as connection:
            record_batch(connection, account, batch)


def record_batch(connection: Connection, account: str, block_ids: Sequence[bytes]) -> None:
    """As `record`, in a transaction of the caller's: for RECORD_BATCH blocks at most."""
    assert len(block_ids) <= RECORD_BATCH
    rows = [{"account": account, "block": i} for i in dict.fromkeys(block_ids) if i != ZERO_ID]
    insert_absent(connection, possessions, rows)


def missing(
    engine: Engine, blocks: Blocks, account: str, block_ids: Sequence[bytes]
) -> list[bytes]:
    """Those that the account must send, in order of first appearance, each once.

    The others are touched, so that a collection under way leaves them alone.
    """
    lacking: list[bytes] = []
    wanted = dict.fromkeys(block_id for block_id in block_ids if block_id != ZERO_ID)
    for batch in _batches(wanted, PARAMETERS_MAX):
        held = _held(engine, account, batch)
        present = dict(zip(held, blocks.touch(held), strict=True))
        lacking += [block_id for block_id in batch if not present.get(block_id, False)]
    return lacking


def _held(engine: Engine, account: str, batch: Sequence[bytes]) -> list[bytes]:
    query = select(possessions.c.block).where(
        possessions.c.account == account, possessions.c.block.in_(batch)
    )
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
