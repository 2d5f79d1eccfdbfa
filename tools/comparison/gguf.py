"""The header of a GGUF file, version 3: enough to copy a vocabulary and to write a model.

Layout: magic, version, counts; key/value pairs; tensor descriptions; padding to 32 bytes; data.
All integers are little-endian.
"""
import struct

from . import Problem

MAGIC = b"GGUF"
ALIGNMENT = 32
UINT32, FLOAT32, STRING, ARRAY = 4, 6, 8, 9
#: Bytes of a value of each fixed-size type: u8 i8 u16 i16 u32 i32 f32 bool u64 i64 f64.
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
#: Tensor types: blocks of so many weights in so many bytes.
F32, Q4_0 = 0, 2
BLOCKS = {F32: (1, 4), Q4_0: (32, 18)}


class Pairs:
    """The key/value pairs of a file as raw bytes by key; a value keeps its type in front."""

    def __init__(self, data, name="file"):
        self.data, self.name, self.at = data, name, 0
        if self._take(4) != MAGIC:
            raise Problem(f"{name}: this is no GGUF file")
        (version,) = struct.unpack("<I", self._take(4))
        if version not in (2, 3):
            raise Problem(f"{name}: GGUF version {version} is not known here")
        _, count = struct.unpack("<QQ", self._take(16))
        self.values = {}
        for _ in range(count):
            key = self._string().decode()
            start = self.at
            self._skip(struct.unpack("<I", self._take(4))[0])
            self.values[key] = bytes(data[start:self.at])

    def _take(self, count):
        if count < 0 or self.at + count > len(self.data):
            raise Problem(f"{self.name}: it ends within its header")
        self.at += count
        return bytes(self.data[self.at - count:self.at])

    def _string(self):
        return self._take(struct.unpack("<Q", self._take(8))[0])

    def _skip(self, kind):
        if kind == STRING:
            self._string()
        elif kind == ARRAY:
            element, count = struct.unpack("<IQ", self._take(12))
            if element in SIZES:
                self._take(SIZES[element] * count)
            else:
                for _ in range(count):
                    self._skip(element)
        elif kind in SIZES:
            self._take(SIZES[kind])
        else:
            raise Problem(f"{self.name}: value type {kind} is not known here")


def array_count(value):
    """Elements of a raw array value."""
    kind, _, count = struct.unpack("<IIQ", value[:16])
    if kind != ARRAY:
        raise Problem("a GGUF value is not the array it should be")
    return count


def packed_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def packed_value(value):
    if isinstance(value, str):
        return struct.pack("<I", STRING) + packed_string(value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    return struct.pack("<II", UINT32, value)


def tensor_bytes(kind, shape):
    """Bytes of a tensor; `shape` has rows first, so the last number is the row's length."""
    weights, size = BLOCKS[kind]
    if shape[-1] % weights:
        raise Problem(f"rows of {shape[-1]} weights do not divide into blocks of {weights}")
    count = 1
    for extent in shape:
        count *= extent
    return count // weights * size


def padded(count):
    return -count % ALIGNMENT


def header(values, tensors):
    """Bytes before the data.  `values` are raw or plain; `tensors` are (name, kind, shape)."""
    parts = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(values))]
    for key, value in values.items():
        raw = value if isinstance(value, bytes) else packed_value(value)
        parts += [packed_string(key), raw]
    offset = 0
    for name, kind, shape in tensors:
        parts += [packed_string(name), struct.pack("<I", len(shape))]
        parts += [struct.pack("<Q", extent) for extent in reversed(shape)]
        parts.append(struct.pack("<IQ", kind, offset))
        size = tensor_bytes(kind, shape)
        offset += size + padded(size)
    result = b"".join(parts)
    return result + bytes(padded(len(result)))
