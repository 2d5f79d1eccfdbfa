#!/usr/bin/env python3
"""Writes Tests/Fixtures/rope/transformers.json: rotation frequencies and factors of transformers for
every kind of scaling, heads of odd sizes included.

    make_rope_cases.py

Needs torch and transformers (made with torch 2.13.0, transformers 5.23.0).
"""
import json
import logging
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers import Qwen3MoeConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

logging.disable(logging.WARNING)
OUTPUT = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "rope" / "transformers.json"

LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 128,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4], "long_factor": [1.0, 2.5, 4.0, 8.0, 20.0],
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 3.0}
# head_dim, max_position_embeddings, rope_parameters, length of the text (where it matters)
CASES = [
    (12, 4096, {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0,
                "original_max_position_embeddings": 32}, 0),
    (24, 4096, {"rope_type": "yarn", "rope_theta": 5e4, "factor": 40.0, "mscale": 0.707,
                "original_max_position_embeddings": 4096, "mscale_all_dim": 1.0}, 0),
    (10, 4096, {"rope_type": "yarn", "rope_theta": 1.5e5, "factor": 32.0, "truncate": False,
                "original_max_position_embeddings": 64, "beta_fast": 16, "beta_slow": 2,
                "attention_factor": 1.25}, 0),
    (6, 512, {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}, 0),
    (24, 512, {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0,
               "partial_rotary_factor": 0.25}, 0),
    (10, 128, DYNAMIC, 128),
    (10, 128, DYNAMIC, 300),
    (14, 2048, {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 256}, 0),
    (10, 1024, LONGROPE, 128),
    (10, 1024, LONGROPE, 129),
]


def answer(head_dimension, maximum, parameters, length):
    config = Qwen3MoeConfig(
        hidden_size=64, num_attention_heads=4, head_dim=head_dimension,
        max_position_embeddings=maximum, rope_parameters=dict(parameters))
    function = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
    frequencies, factor = function(config, torch.device("cpu"), seq_len=length or None)
    return {
        "head_dim": head_dimension,
        "config": {"max_position_embeddings": maximum, "rope_parameters": parameters},
        "length": length,
        "frequencies": [float(value) for value in frequencies],
        "factor": float(factor),
    }


OUTPUT.parent.mkdir(exist_ok=True)
OUTPUT.write_text(json.dumps([answer(*case) for case in CASES], indent=1) + "\n")
