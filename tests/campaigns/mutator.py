"""Changes to files of the kinds that bugs in readers hang on, as a function of a random number generator."""

import re
import struct

#: Bytes and numbers that lie at the edges of what a reader counts with.
EDGES = [0, 1, 0x7F, 0x80, 0xFF]
WIDE = [0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
WORDS = [b"-1", b"0", b"99999999999", b"18446744073709551615", b"1e400", b"-1e400", b"nan", b"inf", b"null", b"true", b"\"\"",
         b"[]", b"{}", b"\xff\xfe", b"\0", b"../../..", b"/dev/zero", b"\xf0\x9f\xa6\x80", b"[[[[[[[[", b"0.0", b"1e-40"]


def flip(data, draws):
    place = draws.randrange(len(data))
    data[place] ^= 1 << draws.randrange(8)


def edge(data, draws):
    data[draws.randrange(len(data))] = draws.choice(EDGES)


def wide(data, draws):
    form = draws.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
    packed = struct.pack(form, draws.choice(WIDE) & ((1 << 8 * struct.calcsize(form)) - 1))
    place = draws.randrange(len(data))
    data[place:place + len(packed)] = packed


def cut(data, draws):
    del data[draws.randrange(len(data)):]


def remove(data, draws):
    place = draws.randrange(len(data))
    del data[place:place + draws.randrange(1, 40)]


def repeat(data, draws):
    place = draws.randrange(len(data))
    piece = data[place:place + draws.randrange(1, 60)]
    data[place:place] = piece * draws.choice([1, 1, 2, 50])


def insert(data, draws):
    place = draws.randrange(len(data) + 1)
    data[place:place] = bytes(draws.randrange(256) for _ in range(draws.randrange(1, 9)))


def word(data, draws):
    """Another word in place of a number or a word of a text."""
    places = list(re.finditer(rb"-?\d+(\.\d+)?|[A-Za-z_]+|\"[^\"\n]*\"", bytes(data[:100_000])))
    if places:
        begin, end = draws.choice(places).span()
        data[begin:end] = draws.choice(WORDS)


def swap(data, draws):
    """Two lines change their places, or one goes."""
    lines = bytes(data).split(b"\n")
    a, b = draws.randrange(len(lines)), draws.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    if draws.random() < 0.3:
        del lines[a]
    data[:] = b"\n".join(lines)


BINARY = [flip, flip, edge, wide, wide, cut, remove, repeat, insert]
TEXT = [word, word, word, swap, flip, cut, remove, repeat, insert]


def mutated(contents, draws, text, head=0):
    """Contents with one to four changes; with `head`, half of the time among the first bytes alone, where headers are."""
    data = bytearray(contents)
    rest = b""
    if head and len(data) > head and draws.random() < 0.5:
        data, rest = data[:head], bytes(data[head:])
    for _ in range(draws.choice([1, 1, 2, 4])):
        if data:
            draws.choice(TEXT if text else BINARY)(data, draws)
    return bytes(data) + rest
