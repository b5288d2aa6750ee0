"""Merkle roots are RFC 9162's, and a proof shows one leaf and no other."""

from collections.abc import Sequence
from hashlib import sha256

import pytest

from orders.draws import merkle

# Source: the test vectors of Certificate Transparency's own trees.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def by_definition(leaves: Sequence[bytes]) -> bytes:
    """The tree's hash as RFC 9162, 2.1.1 defines it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    half = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = by_definition(leaves[:half]), by_definition(leaves[half:])
    return sha256(b"\x01" + left + right).digest()


def some_leaves(count: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(count)]


@pytest.mark.parametrize("count", ROOTS)
def test_the_roots_are_those_of_certificate_transparency(count: int) -> None:
    assert merkle.root_of(LEAVES[:count]).hex() == ROOTS[count]


def test_a_root_is_the_one_that_the_rfc_defines() -> None:
    for count in range(70):
        assert merkle.root_of(iter(some_leaves(count))) == by_definition(some_leaves(count))


def test_each_leaf_has_a_proof_that_holds_for_it_alone() -> None:
    for count in range(1, 35):
        leaves = some_leaves(count)
        root = merkle.root_of(leaves)
        for index in range(count):
            proof = merkle.prove(map(merkle.hash_leaf, leaves), index, count)
            shown = [merkle.is_included(leaf, index, count, proof, root) for leaf in leaves]
            assert [leaf for leaf in range(count) if shown[leaf]] == [index]
            at = [merkle.is_included(leaves[index], i, count, proof, root) for i in range(count)]
            assert [place for place in range(count) if at[place]] == [index]


def shown_root(leaf: bytes, index: int, count: int, proof: list[bytes]) -> bytes:
    """The root that a proof leads to, by the steps in docs/draw.md."""
    node, hashes = sha256(b"\x00" + leaf).digest(), iter(proof)
    while count > 1:
        if index % 2:
            node = sha256(b"\x01" + next(hashes) + node).digest()
        elif index < count - 1:
            node = sha256(b"\x01" + node + next(hashes)).digest()
        index, count = index // 2, (count + 1) // 2
    assert list(hashes) == []
    return node


def test_a_proof_is_checked_by_the_steps_of_the_document() -> None:
    for count in range(1, 35):
        leaves = some_leaves(count)
        for index in range(count):
            proof = merkle.prove(map(merkle.hash_leaf, leaves), index, count)
            assert shown_root(leaves[index], index, count, proof) == merkle.root_of(leaves)


@pytest.mark.parametrize("count", [1, 16, 17, 48, 70])
def test_a_proof_is_made_from_one_chunk_and_the_roots_of_all(count: int) -> None:
    hashes = [merkle.hash_leaf(leaf) for leaf in some_leaves(count)]
    chunks = [hashes[start : start + 16] for start in range(0, count, 16)]
    roots = [merkle.root_of_hashes(chunk) for chunk in chunks]
    for index in range(count):
        chunk = chunks[index // 16]
        within = merkle.prove(chunk, index % 16, len(chunk))
        proof = within + merkle.prove(roots, index // 16, len(roots))
        assert proof == merkle.prove(hashes, index, count)


@pytest.mark.parametrize("count", [4, 6])
def test_a_proof_needs_as_many_leaves_as_are_said(count: int) -> None:
    with pytest.raises(merkle.WrongSize):
        merkle.prove(map(merkle.hash_leaf, some_leaves(count)), 2, 5)


@pytest.mark.parametrize("index", [-1, 5])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int) -> None:
    leaves = some_leaves(5)
    with pytest.raises(merkle.WrongSize):
        merkle.prove(map(merkle.hash_leaf, leaves), index, 5)
    proof = merkle.prove(map(merkle.hash_leaf, leaves), 4, 5)
    assert not merkle.is_included(leaves[4], index, 5, proof, merkle.root_of(leaves))


def test_a_proof_of_another_length_shows_nothing() -> None:
    leaves = some_leaves(5)
    proof, root = merkle.prove(map(merkle.hash_leaf, leaves), 2, 5), merkle.root_of(leaves)
    assert merkle.is_included(leaves[2], 2, 5, proof, root)
    assert not merkle.is_included(leaves[2], 2, 5, proof[:-1], root)
    assert not merkle.is_included(leaves[2], 2, 5, [*proof, root], root)
