"""The states of a layer's pages in memory, sparse at two levels.

Pages are kept in chunks of 4096 (16 MiB of the volume) and chunks in groups of 4096 (64 GiB). A
chunk or group of one state is a number; only a mixed chunk has a byte for each page. So a layer of
64 TiB that nobody wrote to takes nothing, and zeroing all of it a thousand entries.
"""

from __future__ import annotations

from collections.abc import Iterator

from blockstore.interface import PAGE_SIZE, PageState, Run
from native.pages import runs as byte_runs

CHUNK_PAGES = 4096
GROUP_CHUNKS = 4096
GROUP_PAGES = CHUNK_PAGES * GROUP_CHUNKS

_Chunk = int | bytearray
_Group = int | dict[int, _Chunk]


class PageStates:
    """Page index -> state, all INHERIT at first. Not locked: the owner does that."""

    def __init__(self) -> None:
        self._groups: dict[int, _Group] = {}
        self.data_pages = 0
        """How many pages are DATA."""

    def set(self, first: int, count: int, state: PageState) -> bool:
        """Give `count` pages from `first` on the state; return whether that changed any."""
        changed = False
        for group, start, stop in _split(first, first + count, GROUP_PAGES):
            if stop - start == GROUP_PAGES:
                changed |= self._set_group(group, state)
            else:
                changed |= self._set_chunks(group, start, stop, state)
        return changed

    def forget(self, first: int) -> None:
        """Make every page from `first` on INHERIT."""
        last = max(self._groups, default=-1)
        end = (last + 1) * GROUP_PAGES
        if end > first:
            self.set(first, end - first, PageState.INHERIT)

    def is_state(self, first: int, count: int, state: PageState) -> bool:
        """Whether all `count` pages from `first` on have the state."""
        for _, length, found in self._pieces(first, count):
            if length and found != state:
                return False
        return True

    def runs(self, first: int, count: int) -> Iterator[tuple[int, int, PageState]]:
        """(first page, count, state) of the maximal runs that cover the range, in order."""
        return _merge(self._pieces(first, count))

    def byte_runs(self, offset: int, length: int) -> list[Run]:
        """`runs` in bytes, for `Layer.runs`."""
        pages = self.runs(offset // PAGE_SIZE, length // PAGE_SIZE)
        return [Run(first * PAGE_SIZE, count * PAGE_SIZE, state) for first, count, state in pages]

    def changed_runs(self) -> Iterator[tuple[int, int, PageState]]:
        """The runs that are not INHERIT, over all pages; touches only groups that exist."""
        present = (
            piece
            for group in sorted(self._groups)
            for piece in self._pieces(group * GROUP_PAGES, GROUP_PAGES)
            if piece[2] != PageState.INHERIT
        )
        return _merge(present)

    def _pieces(self, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        """As `runs`, but not merged over the borders of chunks."""
        for group, start, stop in _split(first, first + count, GROUP_PAGES):
            chunks = self._groups.get(group, 0)
            group_first = group * GROUP_PAGES
            if isinstance(chunks, int):
                yield group_first + start, stop - start, chunks
                continue
            for chunk, chunk_start, chunk_stop in _split(start, stop, CHUNK_PAGES):
                states = chunks.get(chunk, 0)
                chunk_first = group_first + chunk * CHUNK_PAGES
                if isinstance(states, int):
                    yield chunk_first + chunk_start, chunk_stop - chunk_start, states
                    continue
                part_first = chunk_first + chunk_start
                for begin, length, state in byte_runs(memoryview(states)[chunk_start:chunk_stop]):
                    yield part_first + begin, length, state

    def _set_group(self, group: int, state: PageState) -> bool:
        before = self._groups.get(group, 0)
        if before == state:
            return False
        self._count(_group_data_pages(before), GROUP_PAGES, state)
        if state is PageState.INHERIT:
            del self._groups[group]
        else:
            self._groups[group] = int(state)
        return True

    def _set_chunks(self, group: int, start: int, stop: int, state: PageState) -> bool:
        chunks = self._groups.get(group, 0)
        if isinstance(chunks, int):
            if chunks == state:
                return False
            chunks = dict.fromkeys(range(GROUP_CHUNKS), chunks) if chunks else {}
            self._groups[group] = chunks
        changed = False
        for chunk, chunk_start, chunk_stop in _split(start, stop, CHUNK_PAGES):
            changed |= self._set_pages(chunks, chunk, slice(chunk_start, chunk_stop), state)
        return changed

    def _set_pages(
        self, chunks: dict[int, _Chunk], chunk: int, pages: slice, state: PageState
    ) -> bool:
        states = chunks.get(chunk, 0)
        count = pages.stop - pages.start
        if isinstance(states, int):
            if states == state:
                return False
            states = bytearray((states,)) * CHUNK_PAGES
        before = states[pages]
        if before.count(state) == count:
            return False
        self._count(before.count(PageState.DATA), count, state)
        states[pages] = bytes((state,)) * count
        # A chunk is mostly filled front to back: its last page is when to see if it became one.
        whole = pages.stop == CHUNK_PAGES and states.count(state) == CHUNK_PAGES
        chunks[chunk] = int(state) if whole else states
        return True

    def _count(self, data_pages_before: int, count: int, state: PageState) -> None:
        self.data_pages += (count if state is PageState.DATA else 0) - data_pages_before


def _merge(pieces: Iterator[tuple[int, int, int]]) -> Iterator[tuple[int, int, PageState]]:
    """Pieces in order, with neighbours of one state as one."""
    start, length, state = 0, 0, 0
    for piece_start, piece_length, piece_state in pieces:
        if piece_state == state and piece_start == start + length:
            length += piece_length
            continue
        if length:
            yield start, length, PageState(state)
        start, length, state = piece_start, piece_length, piece_state
    if length:
        yield start, length, PageState(state)


def _split(start: int, stop: int, unit: int) -> Iterator[tuple[int, int, int]]:
    """(unit index, start in it, stop in it) of the units that a range crosses."""
    while start < stop:
        index, within = divmod(start, unit)
        length = min(unit - within, stop - start)
        yield index, within, within + length
        start += length


def _group_data_pages(group: _Group) -> int:
    if isinstance(group, int):
        return GROUP_PAGES if group == PageState.DATA else 0
    return sum(_chunk_data_pages(chunk) for chunk in group.values())


def _chunk_data_pages(chunk: _Chunk) -> int:
    if isinstance(chunk, int):
        return CHUNK_PAGES if chunk == PageState.DATA else 0
    return chunk.count(PageState.DATA)
