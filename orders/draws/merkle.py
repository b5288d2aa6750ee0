"""Merkle trees as in RFC 9162, section 2.1, with SHA-256.

A tree is made from the data of its leaves, in their order. Hashes are 32 bytes. Trees are never kept: each
function reads its leaves once, in O(log n) memory.
"""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

_LEAF, _NODE = b"\x00", b"\x01"  # a leaf cannot pass for a node
EMPTY = sha256(b"").digest()  # the root without leaves


class WrongSize(ValueError):
    """There are fewer or more leaves than was said, or the index is none of theirs."""


def hash_leaf(data: bytes) -> bytes:
    """Hash the data of one leaf."""
    return sha256(_LEAF + data).digest()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Compute the root of a tree from the data of its leaves."""
    return root_of_hashes(map(hash_leaf, leaves))


def root_of_hashes(hashes: Iterable[bytes]) -> bytes:
    """Compute the root of a tree from `hash_leaf` of each leaf."""
    whole: list[bytes] = []  # roots of whole subtrees, larger ones first
    for number, node in enumerate(hashes, 1):
        while not number & 1:
            node = _join(whole.pop(), node)
            number >>= 1
        whole.append(node)
    root = whole.pop() if whole else EMPTY
    while whole:
        root = _join(whole.pop(), root)
    return root


def prove(hashes: Iterable[bytes], index: int, count: int) -> list[bytes]:
    """Compute the inclusion proof (audit path) of the leaf `index` from `hash_leaf` of each of `count`
    leaves. Raises WrongSize.

    Where the roots of chunks of 2**k leaves are kept, one chunk suffices: its proof within the chunk, then
    the proof of the chunk's root, with the roots of chunks as `hashes`.
    """
    if not 0 <= index < count:
        raise WrongSize(f"There is no leaf {index} of {count}.")
    others = _subtrees_beside(index, count)
    roots = _roots_of_ranges(iter(hashes), sorted([*others, (index, index + 1)]))
    return [roots[beside] for beside in others]


def is_included(data: bytes, index: int, count: int, proof: list[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the leaf `index` of a tree of `count` leaves has this data."""
    try:
        return root_by(data, index, count, proof) == root
    except WrongSize:
        return False


def root_by(data: bytes, index: int, count: int, proof: list[bytes]) -> bytes:
    """Compute the root of a tree of `count` leaves from one leaf and its proof. Raises WrongSize."""
    if not 0 <= index < count or len(proof) != len(_subtrees_beside(index, count)):
        raise WrongSize(f"This is no proof of a leaf {index} of {count}.")
    node = hash_leaf(data)
    for sibling, (start, _) in zip(proof, _subtrees_beside(index, count), strict=True):
        node = _join(sibling, node) if start < index else _join(node, sibling)
    return node


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def _subtrees_beside(index: int, count: int) -> list[tuple[int, int]]:
    """The subtrees whose roots make the proof, as ranges of leaves, from the leaf to the root."""
    start, stop, beside = 0, count, []
    while stop - start > 1:
        middle = start + (1 << (stop - start - 1).bit_length() - 1)
        if index < middle:
            beside.append((middle, stop))
            stop = middle
        else:
            beside.append((start, middle))
            start = middle
    return beside[::-1]


def _roots_of_ranges(
    hashes: Iterator[bytes], ranges: list[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """The roots of ranges that follow one another and cover all leaves."""
    read = 0

    def counted() -> Iterator[bytes]:
        nonlocal read
        for read, node in enumerate(hashes, 1):  # noqa: B007
            yield node

    leaves, roots = counted(), {}
    for start, stop in ranges:
        roots[start, stop] = root_of_hashes(islice(leaves, stop - start))
    if read != ranges[-1][1] or next(leaves, None) is not None:
        raise WrongSize(f"There are not {ranges[-1][1]} leaves.")
    return roots
