"""The pages of a table in LMDB's file, looked at before LMDB walks over them.

LMDB checks the kind of a page when it descends to one (and says MDB_CORRUPTED), but not when it
steps sideways to the next: there it aborts the whole process. So a table that is to be walked is
looked at here first. Layout of the file: `struct MDB_page`, `MDB_meta`, `MDB_db` and `MDB_node` in
LMDB 0.9's mdb.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

PAGE_HEADER = struct.Struct("<QHHHH")
"""Page number, padding, flags, end of the node offsets, start of the nodes."""

META_AT = PAGE_HEADER.size
META_FRONT = struct.Struct("<IIQQ")
META_MAGIC = 0xBEEFC0DE
TABLE = struct.Struct("<IHHQQQQQ")
"""Padding, flags, depth, pages of three kinds, entries, root."""
META_MAIN_AT = META_AT + META_FRONT.size + TABLE.size
META_END = struct.Struct("<QQ")
"""Last page, transaction."""
META_END_AT = META_MAIN_AT + TABLE.size

NODE = struct.Struct("<HHHH")
"""Low and high half of a page number or a length, flags (or more of the page number), key size."""

BRANCH_PAGE = 0x01
LEAF_PAGE = 0x02
KINDS = 0x0F
TABLE_NODE = 0x02
NO_PAGE = 2**64 - 1


class PageDamaged(Exception):
    """A page that is not what leads to it says; the text names it."""


class _Tree(NamedTuple):
    depth: int
    root: int


@dataclass(frozen=True, slots=True)
class IndexPages:
    """The file of an environment, open for reading."""

    descriptor: int
    page_size: int

    def check(self, transaction_id: int, name: bytes) -> bool:
        """Look at every page of the table, as a running transaction found it when it began.

        PageDamaged names the first bad one. False when the file no longer says what that
        transaction began with; then nothing was looked at.
        """
        # A reader has the number of the commit that it sees, a writer the next one.
        main = self._main(transaction_id) or self._main(transaction_id - 1)
        if main is None:
            return False
        tree = next((tree for key, tree in self._tables(main) if key == name), None)
        if tree is not None:
            for _ in self._leaves(tree):
                pass
        return True

    def _main(self, transaction_id: int) -> _Tree | None:
        for number in (0, 1):
            page = self._read(number)
            magic = META_FRONT.unpack_from(page, META_AT)[0]
            if magic == META_MAGIC and META_END.unpack_from(page, META_END_AT)[1] == transaction_id:
                return _tree(page, META_MAIN_AT)
        return None

    def _tables(self, main: _Tree) -> Iterator[tuple[bytes, _Tree]]:
        for number, page in self._leaves(main):
            for at in _nodes(number, page):
                _, _, flags, key_size = NODE.unpack_from(page, at)
                start, end = at + NODE.size, at + NODE.size + key_size
                if flags & TABLE_NODE and end + TABLE.size <= len(page):
                    yield page[start:end], _tree(page, end)

    def _leaves(self, tree: _Tree) -> Iterator[tuple[int, bytes]]:
        """The leaf pages of a tree in order; each page is checked for its place and kind."""
        if tree.root == NO_PAGE:
            return
        todo = [(tree.root, tree.depth)]
        while todo:
            number, height = todo.pop()
            page = self._read(number)
            found, _, flags, _, _ = PAGE_HEADER.unpack_from(page)
            expected = LEAF_PAGE if height <= 1 else BRANCH_PAGE
            if found != number or flags & KINDS != expected:
                raise PageDamaged(f"page {number} is none of the table's")
            if height <= 1:
                yield number, page
                continue
            children = [_child(page, at) for at in _nodes(number, page)]
            todo.extend((child, height - 1) for child in reversed(children))

    def _read(self, number: int) -> bytes:
        page = os.pread(self.descriptor, self.page_size, number * self.page_size)
        if len(page) < self.page_size:
            raise PageDamaged(f"page {number} is beyond the end of the file")
        return page


def _tree(page: bytes, at: int) -> _Tree:
    fields = TABLE.unpack_from(page, at)
    return _Tree(depth=fields[2], root=fields[7])


def _nodes(number: int, page: bytes) -> list[int]:
    """Where the nodes of a page begin."""
    _, _, _, lower, upper = PAGE_HEADER.unpack_from(page)
    if not (PAGE_HEADER.size <= lower <= upper <= len(page)) or lower % 2:
        raise PageDamaged(f"page {number} has a wrong header")
    count = (lower - PAGE_HEADER.size) // 2
    offsets = struct.unpack_from(f"<{count}H", page, PAGE_HEADER.size)
    if any(not upper <= at <= len(page) - NODE.size for at in offsets):
        raise PageDamaged(f"page {number} has nodes outside of it")
    return list(offsets)


def _child(page: bytes, at: int) -> int:
    low, high, more, _ = NODE.unpack_from(page, at)
    return int(low | high << 16 | more << 32)
