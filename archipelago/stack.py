"""Layers over content: what an open volume or snapshot reads from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archipelago.content import Content
from archipelago.extent import Extent, ExtentKind, merge_extents
from blockstore import Layer, PageState


@dataclass(frozen=True, slots=True)
class Piece:
    """A range whose bytes come from one place: a layer, or (None) the content below all."""

    offset: int
    length: int
    layer: Layer | None
    state: PageState


@dataclass(frozen=True, slots=True)
class LayerStack:
    """Layers, newest first, over content. A layer may be smaller than what is below it."""

    layers: tuple[Layer, ...]
    base: Content

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes at `offset`; both in whole pages."""
        for piece in self.pieces(offset, len(out)):
            target = out[piece.offset - offset : piece.offset - offset + piece.length]
            if piece.layer is None:
                self.base.read_into(piece.offset, target)
            elif piece.state is PageState.DATA:
                piece.layer.read_into(piece.offset, target)
            else:
                target[:] = bytes(piece.length)

    def extents(self, offset: int, length: int) -> Iterator[Extent]:
        """What the range (whole pages) consists of, neighbours of one kind merged."""
        return merge_extents(self._extents(offset, length))

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """Where the bytes of the range (whole pages) come from, in order."""
        return self._pieces(0, offset, length)

    def _extents(self, offset: int, length: int) -> Iterator[Extent]:
        for piece in self.pieces(offset, length):
            if piece.layer is None:
                yield from self.base.runs(piece.offset, piece.length)
            elif piece.state is PageState.DATA:
                yield Extent(piece.offset, piece.length, ExtentKind.DATA)
            else:
                yield Extent(piece.offset, piece.length, ExtentKind.ZERO)

    def _pieces(self, depth: int, offset: int, length: int) -> Iterator[Piece]:
        if depth == len(self.layers):
            if length:
                yield Piece(offset, length, None, PageState.INHERIT)
            return
        layer = self.layers[depth]
        covered = max(0, min(length, layer.size - offset))
        for run in layer.runs(offset, covered) if covered else ():
            if run.state is PageState.INHERIT:
                yield from self._pieces(depth + 1, run.offset, run.length)
            else:
                yield Piece(run.offset, run.length, layer, run.state)
        if covered < length:
            yield from self._pieces(depth + 1, offset + covered, length - covered)
