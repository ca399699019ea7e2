"""Which pictures go to which part: each class in the same shares, and what looks the same in one part."""

from common.data.records import PARTS

import numpy as np

TRAIN, VALIDATION, TEST = range(len(PARTS))
SHARE = 0.1  # of each class, for validation and for testing
BITS = 3  # of 64 in which the hashes of near-duplicates differ, at most
NEIGHBOURS = 10  # with which a picture is compared, among those with like hashes
BLOCKS, ALIKE = 16, 0.99  # both ways, whose means correlate by this at least in near-duplicates
CHUNK_BYTES = 3_000_000  # of pictures that are compared at a time: bounds the memory


def groups(images, digests):
    """Which pictures are the same, or nearly: the number of its group for each, int [n].

    Near-duplicates are photos that were saved anew, made smaller, lighter or darker. They are found by a hash of 64
    bits, the signs of the differences of neighbours among 8×9 blocks, and compared by the means of finer blocks.
    images: uint8 [n, height, width, channels], or an array-like. digests: uint64 [n], of the pixels.
    """
    chunk = _chunk(images)
    hashes = np.concatenate([_hashes(images[i : i + chunk]) for i in range(0, len(images), chunk)])
    order = np.argsort(digests, kind="stable")
    same = digests[order[:-1]] == digests[order[1:]]
    pairs = [(order[:-1][same], order[1:][same])]
    for band in range(BITS + 1):  # if so few bits differ, one of the four bands of 16 is the same
        keys = hashes >> np.uint64(16 * band) & np.uint64(0xFFFF)
        order = np.lexsort((hashes, keys))
        for distance in range(1, NEIGHBOURS + 1):
            a, b = order[:-distance], order[distance:]
            near = (keys[a] == keys[b]) & (np.bitwise_count(hashes[a] ^ hashes[b]) <= BITS) & (digests[a] != digests[b])
            pairs.append(_alike(images, a[near], b[near]))
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    from scipy import sparse  # here, as it takes a while, and training starts without it

    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(len(images), len(images)))
    return sparse.csgraph.connected_components(graph, directed=False)[1]


def _chunk(images):
    return max(1, CHUNK_BYTES // int(np.prod(images.shape[1:])))


def _hashes(images):
    """uint64 [n]"""
    grey = _blocks(images, 8, 9).sum(axis=-1)
    bits = (grey[:, :, 1:] > grey[:, :, :-1]).reshape(len(grey), 64)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def _blocks(images, rows, columns):
    """The means of blocks: float32 [n, rows, columns, channels]. images: uint8 [n, height, width, channels]."""
    result = images.astype(np.float32)
    for axis, blocks in (1, rows), (2, columns):
        edges = np.linspace(0, result.shape[axis], blocks + 1).astype(int)
        result = np.add.reduceat(result, edges[:-1], axis=axis)
        result /= np.expand_dims(np.diff(edges).clip(1), tuple({0, 1, 2, 3} - {axis}))
    return result


def _alike(images, a, b):
    """Those pairs of rows whose pixels are alike."""
    keep = np.zeros(len(a), bool)
    size = _chunk(images)
    for start in range(0, len(a), size):
        chunk = slice(start, start + size)
        x, y = (_normalized(images[rows[chunk]]) for rows in (a, b))
        keep[chunk] = (x * y).sum(axis=1) >= ALIKE
    return a[keep], b[keep]


def _normalized(images):
    pixels = _blocks(images, BLOCKS, BLOCKS).reshape(len(images), -1)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return pixels / np.linalg.norm(pixels, axis=1, keepdims=True).clip(1e-6)


def split(labels, group, digests, given):
    """The part of each picture, int [n]: TRAIN, VALIDATION or TEST.

    A tenth of each class is for validation, a tenth for testing, at least one picture of each; whole groups, chosen by
    the digests of the pixels: so more pictures leave most of the others where they were. A part that is given stays; of
    what is given for training the missing parts are taken.
    labels, group: int [n]. digests: uint64 [n]. given: int [n], -1 where no part is given.
    """
    parts = np.where(given < 0, TRAIN, given)
    drawn = [part for part in (TEST, VALIDATION) if not (given == part).any()]
    same = np.unique(digests, return_inverse=True)[1] + len(group)
    for label in np.unique(labels):  # where all look alike, as printed letters, only the same pixels belong together
        alike = np.unique(group[(labels == label) & (parts == TRAIN)])
        if len(alike) <= len(drawn):
            group = np.where(np.isin(group, alike), same, group)
    rows = np.flatnonzero(parts == TRAIN)
    rows = rows[np.lexsort((digests[rows], group[rows]))]
    starts = np.flatnonzero(np.diff(group[rows], prepend=-1))
    members = np.split(rows, starts[1:]) if len(rows) else []
    owner = np.array([labels[each[0]] for each in members])
    for label in np.unique(owner):
        own = sorted((members[i] for i in np.flatnonzero(owner == label)), key=lambda each: digests[each[0]])
        wanted = max(1, round(SHARE * sum(map(len, own))))
        for later, part in zip(range(len(drawn))[::-1], drawn, strict=True):
            if len(own) > 1:  # one is for training, and one for each of the later parts
                taken = _first(own, wanted)[: max(1, len(own) - 1 - later)]
                numbers = set(map(id, taken))
                own = [each for each in own if id(each) not in numbers]
                parts[np.concatenate(taken)] = part
    return parts


def _first(members, wanted):
    """The first groups that have `wanted` pictures or fewer together; the smallest one if each has more."""
    taken, left = [], wanted
    for each in members:
        if len(each) <= left:
            taken.append(each)
            left -= len(each)
    return taken or [min(members, key=len)]
