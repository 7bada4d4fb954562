"""Maps: persistent radix trees from block index to block id, over immutable pages.

Nothing is ever changed in place: an update writes the pages on the way to what differs and returns
a new root. The form is canonical: the height is the least that holds the last present index, and
pages without a present slot do not exist. So equal contents have equal roots, whatever their
history, and a comparison may stop wherever two ids are equal.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from archipelago.errors import InvalidArgument, MapCorrupt
from archipelago.map_format import (
    EMPTY_MAP,
    FANOUT,
    FANOUT_BITS,
    HEIGHT_MAX,
    MapRoot,
    decode_page,
    encode_page,
    trim_slots,
)
from blockstore import ID_SIZE, ZERO_ID, BlockKind, Blocks, NotFound

PAGE_CACHE_PAGES_MAX = 2048
"""Pages kept for each `Maps`: at most 33 MB. A page names 512 blocks."""

Path = tuple[int, ...]


def capacity(height: int) -> int:
    """How many blocks a map of this height covers."""
    return 1 << (FANOUT_BITS * height)


class Maps:
    """Look-ups and updates; no state but a cache of pages. Thread-safe.

    New pages are put, not committed: the caller commits before it lets anything name the root.
    Errors: MapCorrupt for a bad or missing page; those of `Blocks` pass through.
    """

    def __init__(self, blocks: Blocks, block_size: int) -> None:
        self.block_size = block_size
        self._blocks = blocks
        self._cache: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()
        self._cache_lock = threading.Lock()

    def lookup(self, root: MapRoot, index: int) -> bytes:
        """The id at `index`; ZERO_ID where there is none."""
        return self.lookup_range(root, index, 1)[0]

    def lookup_range(self, root: MapRoot, first: int, count: int) -> list[bytes]:
        """The ids at `first` and the `count` - 1 indexes after it."""
        ids: list[bytes] = []
        for index, run, slots in self._leaves(root, first, count):
            if slots is None:
                ids.extend([ZERO_ID] * run)
            else:
                start = index % FANOUT
                ids.extend(_slot(slots, slot) for slot in range(start, start + run))
        return ids

    def presence(self, root: MapRoot, first: int, count: int) -> Iterator[tuple[int, int, bool]]:
        """Runs (index, count, present) that cover the range in order; neighbours may be alike."""
        for index, run, slots in self._leaves(root, first, count):
            if slots is None:
                yield index, run, False
                continue
            start = index % FANOUT
            # ids never are NULs: a full page is known without looking at each of its slots.
            if len(slots) >= (start + run) * ID_SIZE and ZERO_ID not in slots:
                yield index, run, True
                continue
            for slot in range(start, start + run):
                yield index + slot - start, 1, _slot(slots, slot) != ZERO_ID

    def iterate(self, root: MapRoot, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """(index, id) of every present block from `first` on, in order."""
        if root.block_id != ZERO_ID and first < capacity(root.height):
            yield from self._iterate_node(root.height, root.block_id, first, 0, ())

    def diff(self, a: MapRoot, b: MapRoot) -> Iterator[tuple[int, bytes, bytes]]:
        """(index, id in a, id in b) wherever they differ, in order; reads only such pages."""
        if a.height < b.height:
            for index, id_b, id_a in self.diff(b, a):
                yield index, id_a, id_b
        elif a.height > b.height:
            slots = self._slots(a.height, a.block_id, ())
            yield from self.diff(MapRoot(a.height - 1, _slot(slots, 0)), b)
            yield from self._diff_slots(a.height, 0, slots[ID_SIZE:], b"", (), first_slot=1)
        else:
            yield from self._diff_nodes(a.height, 0, a.block_id, b.block_id, ())

    def walk(self, root: MapRoot, visited: set[bytes]) -> Iterator[tuple[int, bytes]]:
        """(level, id) of every page and, at level 0, block under the root, itself included.

        Pages in `visited` are passed over with all below them, and the pages met are added: a walk
        over many roots with one set costs what they have in different pages.
        """
        if root.block_id != ZERO_ID:
            yield from self._walk_node(root.height, root.block_id, visited, ())

    def update(self, root: MapRoot, changes: Mapping[int, bytes]) -> MapRoot:
        """The map with these ids in place; ZERO_ID removes. Writes each touched page once."""
        items = sorted(changes.items())
        if items and (items[0][0] < 0 or items[-1][0] >= capacity(HEIGHT_MAX)):
            raise InvalidArgument(f"a map has no index {items[0][0]} to {items[-1][0]}")
        height, node = root.height, root.block_id
        inside = [item for item in items if item[0] < capacity(height)]
        outside = [item for item in items[len(inside) :] if item[1] != ZERO_ID]
        node = self._update_node(height, node, inside, 0, ())
        while outside:
            height += 1
            inside = [item for item in outside if item[0] < capacity(height)]
            outside = outside[len(inside) :]
            node = self._update_slots(height, trim_slots(node), inside, 0, ())
        return self._canonical(MapRoot(height, node))

    def truncate(self, root: MapRoot, block_count: int) -> MapRoot:
        """The map without any index of `block_count` and above."""
        if block_count <= 0:
            return EMPTY_MAP
        if block_count >= capacity(root.height):
            return root
        node = self._truncate_node(root.height, root.block_id, block_count, ())
        return self._canonical(MapRoot(root.height, node))

    def build(self, ids: Iterable[bytes]) -> MapRoot:
        """The map of these ids at indexes 0, 1, 2, ...; needs memory for one page of each level."""
        levels: list[bytearray] = [bytearray()]
        for block_id in ids:
            if len(block_id) != ID_SIZE:
                raise InvalidArgument(f"an id of {len(block_id)} bytes")
            levels[0] += block_id
            self._build_carry(levels, 0, least=FANOUT * ID_SIZE)
        level = 0
        while level + 1 < len(levels) or len(levels[level]) > ID_SIZE:
            self._build_carry(levels, level, least=1)
            level += 1
        return self._canonical(MapRoot(level, bytes(levels[level]) or ZERO_ID))

    def _build_carry(self, levels: list[bytearray], level: int, least: int) -> None:
        """Turn the gathered ids of a level into a page of the next, and so on upwards."""
        while len(levels[level]) >= least:
            if level + 1 == len(levels):
                levels.append(bytearray())
            levels[level + 1] += self._put_page(level + 1, levels[level])
            levels[level] = bytearray()
            level += 1
            least = FANOUT * ID_SIZE

    def _leaves(
        self, root: MapRoot, first: int, count: int
    ) -> Iterator[tuple[int, int, bytes | None]]:
        """Cut the range at leaf pages: (index, count, slots of the leaf, or None where absent)."""
        end = first + count
        while first < min(end, capacity(root.height)):
            span, slots = self._find_leaf(root, first)
            run = min(end, (first // span + 1) * span) - first
            yield first, run, slots
            first += run
        if first < end:
            yield first, end - first, None

    def _find_leaf(self, root: MapRoot, index: int) -> tuple[int, bytes | None]:
        """The leaf of `index`, and the span around it, in blocks, for which the answer holds."""
        node = root.block_id
        path: Path = ()
        for level in range(root.height, 0, -1):
            if node == ZERO_ID:
                return capacity(level), None
            slots = self._slots(level, node, path)
            if level == 1:
                return FANOUT, slots
            slot = index >> (FANOUT_BITS * (level - 1)) & (FANOUT - 1)
            node, path = _slot(slots, slot), (*path, slot)
        return 1, (None if node == ZERO_ID else node)

    def _iterate_node(
        self, level: int, node: bytes, first: int, base: int, path: Path
    ) -> Iterator[tuple[int, bytes]]:
        if level == 0:
            yield base, node
            return
        span = capacity(level - 1)
        slots = self._slots(level, node, path)
        for slot in range(max(0, (first - base) // span), len(slots) // ID_SIZE):
            child = _slot(slots, slot)
            if child != ZERO_ID:
                child_base = base + slot * span
                yield from self._iterate_node(level - 1, child, first, child_base, (*path, slot))

    def _walk_node(
        self, level: int, node: bytes, visited: set[bytes], path: Path
    ) -> Iterator[tuple[int, bytes]]:
        if level == 0:
            yield 0, node
            return
        if node in visited:
            return
        visited.add(node)
        yield level, node
        for slot, child in _present(self._slots(level, node, path)):
            yield from self._walk_node(level - 1, child, visited, (*path, slot))

    def _diff_nodes(
        self, level: int, base: int, id_a: bytes, id_b: bytes, path: Path
    ) -> Iterator[tuple[int, bytes, bytes]]:
        if id_a == id_b:
            return
        if level == 0:
            yield base, id_a, id_b
            return
        slots_a = self._slots(level, id_a, path)
        slots_b = self._slots(level, id_b, path)
        yield from self._diff_slots(level, base, slots_a, slots_b, path)

    def _diff_slots(
        self,
        level: int,
        base: int,
        slots_a: bytes,
        slots_b: bytes,
        path: Path,
        *,
        first_slot: int = 0,
    ) -> Iterator[tuple[int, bytes, bytes]]:
        span = capacity(level - 1)
        for position in range(max(len(slots_a), len(slots_b)) // ID_SIZE):
            slot = first_slot + position
            id_a, id_b = _slot(slots_a, position), _slot(slots_b, position)
            if id_a != id_b:
                yield from self._diff_nodes(
                    level - 1, base + slot * span, id_a, id_b, (*path, slot)
                )

    def _update_node(
        self, level: int, node: bytes, items: list[tuple[int, bytes]], base: int, path: Path
    ) -> bytes:
        """The id of the node with `items` (sorted, all inside it) applied."""
        if not items:
            return node
        if level == 0:
            return items[0][1]
        return self._update_slots(level, self._slots(level, node, path), items, base, path)

    def _update_slots(
        self,
        level: int,
        slots: bytes,
        items: list[tuple[int, bytes]],
        base: int,
        path: Path,
    ) -> bytes:
        """The id of the page of `slots` with `items` (sorted, all inside it) applied."""
        span = capacity(level - 1)
        changed = bytearray(slots) + bytes(FANOUT * ID_SIZE - len(slots))
        for slot, group in itertools.groupby(items, lambda item: (item[0] - base) // span):
            place = slice(slot * ID_SIZE, (slot + 1) * ID_SIZE)
            child_base, child_path = base + slot * span, (*path, slot)
            changed[place] = self._update_node(
                level - 1, bytes(changed[place]), list(group), child_base, child_path
            )
        return self._put_page(level, changed)

    def _truncate_node(self, level: int, node: bytes, count: int, path: Path) -> bytes:
        """The id of the node without its indexes, counted from its own first, of `count` on."""
        if node == ZERO_ID or count >= capacity(level):
            return node
        slots = bytearray(self._slots(level, node, path))
        whole, rest = divmod(count, capacity(level - 1))
        kept = slots[: whole * ID_SIZE]
        if rest and len(slots) > len(kept):
            child = self._truncate_node(level - 1, _slot(slots, whole), rest, (*path, whole))
            kept += child
        return self._put_page(level, kept)

    def _canonical(self, root: MapRoot) -> MapRoot:
        """The same map at its least height."""
        height, node = root.height, root.block_id
        while height and node != ZERO_ID:
            slots = self._slots(height, node, ())
            if len(slots) > ID_SIZE:
                return MapRoot(height, node)
            height, node = height - 1, slots
        return MapRoot(height, node) if node != ZERO_ID else EMPTY_MAP

    def _put_page(self, level: int, slots: bytes | bytearray) -> bytes:
        slots = trim_slots(slots)
        if not slots:
            return ZERO_ID
        [page_id] = self._blocks.put_many(encode_page(level, slots), BlockKind.MAP)
        self._remember(level, page_id, slots)
        return page_id

    def _slots(self, level: int, page_id: bytes, path: Path) -> bytes:
        """The slots of a page, up to the last present one; of the absent page, none."""
        if page_id == ZERO_ID:
            return b""
        with self._cache_lock:
            slots = self._cache.get((level, page_id))
            if slots is not None:
                self._cache.move_to_end((level, page_id))
                return slots
        try:
            slots = decode_page(level, self._blocks.get(page_id))
        except ValueError as error:
            raise MapCorrupt(page_id, path, str(error)) from None
        except NotFound:
            raise MapCorrupt(page_id, path, "the store does not have it") from None
        self._remember(level, page_id, slots)
        return slots

    def _remember(self, level: int, page_id: bytes, slots: bytes) -> None:
        with self._cache_lock:
            self._cache[(level, page_id)] = slots
            while len(self._cache) > PAGE_CACHE_PAGES_MAX:
                self._cache.popitem(last=False)


def _slot(slots: bytes | bytearray, slot: int) -> bytes:
    return bytes(slots[slot * ID_SIZE : (slot + 1) * ID_SIZE]) or ZERO_ID


def _present(slots: bytes) -> Iterator[tuple[int, bytes]]:
    for slot in range(len(slots) // ID_SIZE):
        child = _slot(slots, slot)
        if child != ZERO_ID:
            yield slot, child
