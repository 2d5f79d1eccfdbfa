#!/usr/bin/env python3
"""Writes Fixtures/formats/gguf: blocks of every GGML type that is read, and the floats that the
`gguf` package makes of them.

Needs the `gguf` and `numpy` packages from PyPI.  Run from anywhere; the output is deterministic.
"""

import json
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent / "formats" / "gguf"
TYPES = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
# Where a block's halves stand.
HALVES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2),
          "Q5_K": (0, 2), "Q6_K": (208,), "MXFP4": ()}
# 0, least and greatest subnormal, least normal, 1, -1, greatest, infinities, NaN.
EXTREMES = [0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0x7C00, 0xFC00, 0x7E01]


def blocks_of(name: str, random: np.random.Generator) -> np.ndarray:
    columns, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    plain = 6 if columns == 256 else 24
    halves = HALVES.get(name, (0,))
    blocks = [random.integers(0, 256, size, dtype=np.uint8) for _ in range(plain)]
    for block in blocks:
        for at in halves:
            block[at : at + 2] = np.float16([random.normal() * 0.05]).view(np.uint8)
    for fill in (0x00, 0xFF, 0x88, 0x77):
        blocks.append(np.full(size, fill, dtype=np.uint8))
        for at in halves:
            blocks[-1][at : at + 2] = np.float16([0.37]).view(np.uint8)
    for extreme in EXTREMES if halves else range(0, 256, 5):
        block = random.integers(0, 256, size, dtype=np.uint8)
        if halves:
            at = halves[random.integers(len(halves))]
            block[at : at + 2] = np.uint16([extreme]).view(np.uint8)
        else:
            block[0] = extreme
        blocks.append(block)
    return np.stack(blocks)


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(11)
    tensors = {}
    with np.errstate(all="ignore"):
        for name in TYPES:
            blocks = blocks_of(name, random)
            kind = gguf.GGMLQuantizationType[name]
            tensors[name.lower() + ".blocks"] = blocks
            tensors[name.lower() + ".values"] = gguf.quants.dequantize(blocks, kind)
    header, data = {}, b""
    for name, array in tensors.items():
        kind = {"uint8": "U8", "float32": "F32"}[str(array.dtype)]
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (HERE / "config.json").write_text("{}\n")


if __name__ == "__main__":
    main()
