"""Writes a GGUF of Qwen3-30B-A3B's shape with random Q4_0 weights: 17.2 GB.

Speed depends on shapes, bytes and routing, not on what the weights mean.  Routing must be about as
local as a trained model's, or any cache looks useless (evenly used experts) or perfect (every token
routed alike).  Four choices bring that about:

- weights have zero mean, or every hidden state would lean the same way and choose the same experts;
- embeddings are long and the branches' outputs short (0.3 for attention, 0.5 for experts), so that
  tokens stay distinct through all layers;
- each router row has a random direction of length about 2, so that the choice is clear;
- and a log-normal factor (sigma 0.5), so that some experts are more popular than others.

Run by tools/compare with its own Python: synthetic.py OUTPUT --vocabulary FILE.gguf
"""
import argparse
import math
import os
import sys

import numpy

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from comparison import Problem, gguf  # noqa: E402

ARCHITECTURE = "qwen3moe"
SHAPE = {"hidden": 2048, "layers": 48, "heads": 32, "groups": 4, "head": 128, "experts": 128,
         "chosen": 8, "inner": 768}
SPREAD = 0.5
#: Standard deviation of the integers -7 ... 7, evenly drawn.
INTEGER_DEVIATION = math.sqrt(sum(value * value for value in range(-7, 8)) / 15)


def values(shape, vocabulary):
    prefix = ARCHITECTURE + "."
    numbers = {"context_length": 40960, "embedding_length": shape["hidden"],
               "block_count": shape["layers"], "feed_forward_length": 3 * shape["inner"],
               "attention.head_count": shape["heads"], "attention.head_count_kv": shape["groups"],
               "attention.key_length": shape["head"], "attention.value_length": shape["head"],
               "rope.freq_base": 1e6, "attention.layer_norm_rms_epsilon": 1e-6,
               "expert_count": shape["experts"], "expert_used_count": shape["chosen"],
               "expert_feed_forward_length": shape["inner"]}
    result = {"general.architecture": ARCHITECTURE, "general.name": "synthetic-qwen3-30b-a3b",
              "general.file_type": 2}
    result.update({prefix + key: value for key, value in numbers.items()})
    result.update({key: value for key, value in vocabulary.items() if key.startswith("tokenizer.")})
    return result


def tensors(shape, vocabulary_size):
    """(name, GGUF type, shape, role); the role decides the numbers."""
    hidden, inner, experts = shape["hidden"], shape["inner"], shape["experts"]
    queries, keys = shape["heads"] * shape["head"], shape["groups"] * shape["head"]

    def ones(name, length):
        return (name, gguf.F32, (length,), "one")

    def matrix(name, *extents, gain=1.0):
        return (name, gguf.Q4_0, extents, gain)

    yield matrix("token_embd.weight", vocabulary_size, hidden, gain=math.sqrt(hidden))
    for layer in range(shape["layers"]):
        block = f"blk.{layer}."
        yield ones(block + "attn_norm.weight", hidden)
        yield matrix(block + "attn_q.weight", queries, hidden)
        yield matrix(block + "attn_k.weight", keys, hidden)
        yield matrix(block + "attn_v.weight", keys, hidden)
        yield matrix(block + "attn_output.weight", hidden, queries, gain=0.3)
        yield ones(block + "attn_q_norm.weight", shape["head"])
        yield ones(block + "attn_k_norm.weight", shape["head"])
        yield ones(block + "ffn_norm.weight", hidden)
        yield (block + "ffn_gate_inp.weight", gguf.F32, (experts, hidden), "router")
        yield matrix(block + "ffn_gate_exps.weight", experts, inner, hidden)
        yield matrix(block + "ffn_up_exps.weight", experts, inner, hidden)
        yield matrix(block + "ffn_down_exps.weight", experts, hidden, inner, gain=0.5)
    yield ones("output_norm.weight", hidden)
    yield matrix("output.weight", vocabulary_size, hidden)


class Blocks:
    """Q4_0 blocks from a pool of random nibbles, which is far faster than drawing each."""

    def __init__(self, random, count=1 << 22):
        # Nibbles 1 ... 15 stand for -7 ... 7.
        low, high = random.integers(1, 16, (2, count, 16), dtype=numpy.uint8)
        self.random = random
        self.pool = numpy.empty((count, 18), numpy.uint8)
        self.pool[:, 2:] = low | high << 4

    def write(self, file, count, columns, gain):
        scale = numpy.float16(gain / math.sqrt(columns) / INTEGER_DEVIATION)
        self.pool[:, :2] = numpy.frombuffer(scale.tobytes(), numpy.uint8)
        at = int(self.random.integers(len(self.pool)))
        while count > 0:
            part = self.pool[at:at + count]
            file.write(part.data)
            count -= len(part)
            at = 0


def write(path, shape, vocabulary, seed=1):
    size = gguf.array_count(vocabulary["tokenizer.ggml.tokens"])
    plan = list(tensors(shape, size))
    random = numpy.random.default_rng(seed)
    blocks = Blocks(random)
    with open(path, "wb") as file:
        file.write(gguf.header(values(shape, vocabulary), [entry[:3] for entry in plan]))
        for _, kind, extents, role in plan:
            if kind == gguf.Q4_0:
                blocks.write(file, math.prod(extents) // 32, extents[-1], role)
            elif role == "one":
                file.write(numpy.ones(extents, "<f4").data)
            else:
                rows = random.standard_normal(extents) * (2 / math.sqrt(extents[-1]))
                rows *= numpy.exp(random.standard_normal((extents[0], 1)) * SPREAD)
                file.write(rows.astype("<f4").data)
            file.write(bytes(gguf.padded(gguf.tensor_bytes(kind, extents))))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--vocabulary", required=True, help="a GGUF file that has a tokenizer")
    parser.add_argument("--layers", type=int, default=SHAPE["layers"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with open(options.vocabulary, "rb") as file:
        vocabulary = gguf.Pairs(file.read(), options.vocabulary).values
    if "tokenizer.ggml.tokens" not in vocabulary:
        raise Problem(f"{options.vocabulary}: it has no tokenizer")
    partial = options.output + ".partial"
    write(partial, {**SHAPE, "layers": options.layers}, vocabulary, options.seed)
    os.replace(partial, options.output)


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        sys.exit(f"error: {problem}")
