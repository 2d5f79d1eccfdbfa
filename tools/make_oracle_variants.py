#!/usr/bin/env python3
"""Makes tiny random Qwen3-MoE checkpoints, one for each corner of the configuration, with the
answers of transformers.

    make_oracle_variants.py --out DIR [NAME ...]
    make_oracle_variants.py --verify DIR [NAME ...]

Each DIR/NAME holds a checkpoint in the published form and expected.safetensors: input_ids [48],
logits [48, V], greedy_ids [8], greedy_logits [8, V] (row j is what token j was chosen from), and
router.<layer>.indices and .weights [55, k] for the prompt and the first 7 greedy tokens; a dense
layer has no router. The reference is float32 arithmetic on the weights as they lie on disk.

Needs torch, transformers and safetensors (made with torch 2.13.0, transformers 5.23.0).
"""
import argparse
import json
import math
import os
import re
import shutil
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

transformers.logging.disable_progress_bar()
torch.set_grad_enabled(False)
torch.set_num_threads(1)

FIXTURES = Path(__file__).resolve().parent.parent / "Tests" / "Fixtures" / "oracle"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]
VOCABULARY, SPECIALS = 384, 8
PROMPT, NEW = 48, 8

BASE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 376,
    "decoder_sparse_step": 1,
    "eos_token_id": 378,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "max_position_embeddings": 4096,
    "max_window_layers": 2,
    "mlp_only_layers": [],
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "output_router_logits": False,
    "rms_norm_eps": 1e-6,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "router_aux_loss_coef": 0.001,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": VOCABULARY,
}

# What each variant changes. The original context lengths of the scaled ones are shorter than the
# prompt, or the scaling would hardly be felt.
VARIANTS = {
    "tied": {"tie_word_embeddings": True, "num_experts": 4, "num_attention_heads": 2, "num_key_value_heads": 1},
    "dense_mix": {
        "decoder_sparse_step": 2, "mlp_only_layers": [3], "num_hidden_layers": 6,
        "hidden_size": 32, "num_experts_per_tok": 3, "intermediate_size": 64,
        "num_attention_heads": 2, "num_key_value_heads": 1,
    },
    "bias_no_norm": {
        "attention_bias": True, "norm_topk_prob": False, "num_experts_per_tok": 3,
        "num_attention_heads": 3, "num_key_value_heads": 1, "num_experts": 4, "hidden_size": 48,
    },
    "odd_f32": {
        "torch_dtype": "float32", "hidden_size": 28, "moe_intermediate_size": 20, "head_dim": 24,
        "num_attention_heads": 2, "num_key_value_heads": 1, "num_experts": 4, "num_experts_per_tok": 3,
    },
    "odd_bf16": {
        "hidden_size": 72, "moe_intermediate_size": 40, "head_dim": 20, "num_attention_heads": 3,
        "num_key_value_heads": 1, "num_experts": 7, "num_experts_per_tok": 3,
    },
    "f16": {"torch_dtype": "float16"},
    "f32": {"torch_dtype": "float32"},
    "bias": {"attention_bias": True},
    "no_norm": {"norm_topk_prob": False},
    "tied_dense_bias_f16": {
        "tie_word_embeddings": True, "attention_bias": True, "torch_dtype": "float16",
        "mlp_only_layers": [0], "num_hidden_layers": 3,
    },
    "top1": {"num_experts_per_tok": 1, "norm_topk_prob": False},
    "all_experts": {"num_experts_per_tok": 5},
    "no_gqa": {"num_attention_heads": 4, "num_key_value_heads": 4},
    "one_expert_layer": {"mlp_only_layers": [0, 1], "num_hidden_layers": 3},
    "rope_linear": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "rope_linear_old": {"rope_scaling": {"type": "linear", "factor": 2.5}},
    "rope_llama3": {
        "rope_scaling": {
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        }
    },
    "rope_yarn": {
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        "max_position_embeddings": 128,
    },
    "rope_yarn_all": {
        "rope_scaling": {
            "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 32,
            "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.3,
        },
        "max_position_embeddings": 256,
    },
}  # fmt: skip


def randomize(model, config: dict, seed: int):
    """Weights under which every part is felt: logits of standard deviation 2, experts that differ."""
    random = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, config["torch_dtype"])
    tied = config["tie_word_embeddings"]
    hidden = config["hidden_size"]

    def normal(shape, deviation, mean=0.0):
        return torch.randn(shape, generator=random) * deviation + mean

    for name, p in sorted(model.named_parameters()):
        if re.search(r"[qk]_norm\.weight$", name):
            value = normal(p.shape, 0.25, 1.4)
        elif name.endswith("norm.weight"):
            value = normal(p.shape, 0.25, 1.0)
        elif name.endswith(".bias"):
            value = normal(p.shape, 0.3)
        elif "embed_tokens" in name:
            value = normal(p.shape, 2.0 / math.sqrt(hidden) if tied else 1.0)
            if not tied:  # rows of very different size, so that the norms' epsilon is felt
                value *= 10 ** (torch.rand(p.shape[0], 1, generator=random) * 2.5 - 2.3)
        elif name.startswith("lm_head"):
            value = normal(p.shape, 2.0 / math.sqrt(hidden))
        elif name.endswith("mlp.gate.weight"):
            value = normal(p.shape, 2.0 / math.sqrt(hidden))
        else:
            gain = 2.0 if name.endswith(("down_proj", "down_proj.weight")) else 1.3
            value = normal(p.shape, gain / math.sqrt(p.shape[-1]))
        p.copy_(value.to(dtype).float())
    model.tie_weights()


class RouterTap:
    """Records what the routers of one forward pass decide: layer → (logits, weights, indices)."""

    def __init__(self, model):
        self.rows = {}
        self.handles = [
            module.register_forward_hook(self.record(int(re.search(r"layers\.(\d+)\.", name).group(1))))
            for name, module in model.named_modules()
            if type(module).__name__ == "Qwen3MoeTopKRouter"
        ]

    def record(self, layer):
        def hook(module, inputs, output):
            logits, weights, indices = output
            weights, order = weights.float().sort(-1, descending=True)
            self.rows[layer] = (logits.float().clone(), weights.clone(), indices.gather(1, order).clone())

        return hook

    def close(self):
        for handle in self.handles:
            handle.remove()


def gap(scores, k):
    """The least distance between the k-th and the next score of a row."""
    best = scores.sort(-1, descending=True).values
    return float((best[..., k - 1] - best[..., k]).min()) if k < best.shape[-1] else math.inf


def answer(model, config: dict, seed: int) -> tuple[dict, dict]:
    """The expected tensors, and how far they are from a tie."""
    random = torch.Generator().manual_seed(seed * 31 + 7)
    ids = torch.randint(0, VOCABULARY - SPECIALS, (PROMPT,), generator=random).tolist()
    out = model(input_ids=torch.tensor([ids]), use_cache=True)
    logits, past = out.logits[0].float(), out.past_key_values
    new, rows, row = [], [], logits[-1]
    while True:
        rows.append(row)
        new.append(int(row.argmax()))
        if len(new) == NEW:
            break
        out = model(input_ids=torch.tensor([[new[-1]]]), past_key_values=past, use_cache=True)
        past, row = out.past_key_values, out.logits[0, -1].float()
    tap = RouterTap(model)
    model(input_ids=torch.tensor([ids + new[:-1]]), use_cache=False)
    tap.close()
    tensors = {
        "input_ids": torch.tensor(ids, dtype=torch.int32),
        "logits": logits,
        "greedy_ids": torch.tensor(new, dtype=torch.int32),
        "greedy_logits": torch.stack(rows),
    }
    for layer, (_, weights, indices) in tap.rows.items():
        tensors[f"router.{layer}.indices"] = indices.to(torch.int32)
        tensors[f"router.{layer}.weights"] = weights
    margins = {
        "router_margin": min(gap(r[0], config["num_experts_per_tok"]) for r in tap.rows.values()),
        "greedy_margin": gap(torch.stack(rows), 1),
        "distinct_greedy": len(set(new)),
        "special_token": any(t >= VOCABULARY - SPECIALS for t in new),
        "logits_std": float(logits.std()),
    }
    return {k: v.contiguous() for k, v in tensors.items()}, margins


def write_json(path: Path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def load(path: Path):
    model = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    )
    return model.eval()


def fresh(path: Path, config: dict, seed: int):
    model = AutoModelForCausalLM.from_config(
        AutoConfig.from_pretrained(path), dtype=torch.float32, attn_implementation="eager",
        experts_implementation="eager",
    ).eval()  # fmt: skip
    randomize(model, config, seed)
    return model


def make(name: str, path: Path, tokenizer: Path, tries: int):
    config = {**BASE, **VARIANTS[name]}
    config["max_window_layers"] = config["num_hidden_layers"]
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    write_json(path / "config.json", config)
    for file in TOKENIZER_FILES:
        shutil.copy(tokenizer / file, path / file)

    # The seed whose routing and greedy choices are furthest from a tie, so that a correct float32
    # runtime never flips one.
    best = None
    for seed in range(1, tries + 1):
        _, margins = answer(fresh(path, config, seed), config, seed)
        score = min(margins["router_margin"] * 10, margins["greedy_margin"])
        score -= margins["special_token"] or margins["distinct_greedy"] < 4
        if best is None or score > best[0]:
            best = (score, seed)
    seed = best[1]

    model = fresh(path, config, seed).to(getattr(torch, config["torch_dtype"]))
    model.save_pretrained(path)
    os.rename(path / "config.json", path / "config.v5.json")
    write_json(path / "config.json", config)
    shutil.copy(tokenizer / "generation_config.json", path / "generation_config.json")

    model = load(path)
    tensors, margins = answer(model, config, seed)
    # One entry: safetensors writes several in no fixed order, and the file should be the same again.
    origin = f"seed {seed}, transformers {transformers.__version__}, torch {torch.__version__}"
    save_file(tensors, path / "expected.safetensors", metadata={"origin": origin})
    felt = ""
    if config["rope_scaling"]:
        plain = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
            rope_parameters={"rope_type": "default", "rope_theta": config["rope_theta"]},
        ).eval()
        logits = plain(input_ids=tensors["input_ids"].long()[None]).logits[0]
        felt = f"  scaling moves logits by {float((logits - tensors['logits']).abs().max()):.1f}"
    for file in path.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in path.iterdir())
    print(
        f"{name:20s} seed {seed:3d}  {size / 1e3:5.0f} kB  logits std {margins['logits_std']:.2f}"
        f"  router margin {margins['router_margin']:.4f}  greedy margin {margins['greedy_margin']:.3f}{felt}",
        flush=True,
    )


def verify(name: str, path: Path) -> bool:
    """Both spellings of the configuration, loaded from the disk, give the expected values."""
    expected = load_file(path / "expected.safetensors")
    published = (path / "config.json").read_bytes()
    ok = True
    for spelling in ("config.json", "config.v5.json"):
        scratch = path.with_name(path.name + ".verify")
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(path, scratch)
        shutil.copy(path / spelling, scratch / "config.json")
        logits = load(scratch)(input_ids=expected["input_ids"].long()[None]).logits[0]
        shutil.rmtree(scratch)
        difference = float((logits - expected["logits"]).abs().max())
        ok = ok and difference < 1e-5
        print(f"{'ok  ' if difference < 1e-5 else 'FAIL'} {name:20s} {spelling:15s} {difference:.1e}")
    return ok and published == (path / "config.json").read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ", ".join(VARIANTS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {every} (all if none is given)")
    parser.add_argument("--out", metavar="DIR", help="where the checkpoints go")
    parser.add_argument("--verify", metavar="DIR", help="check the checkpoints there instead of making any")
    parser.add_argument("--prefix", default="", help="before the name of each folder")
    parser.add_argument("--tokenizer", default=str(FIXTURES / "qwen3_moe"), metavar="DIR", help="a 384-token tokenizer")
    parser.add_argument("--tries", type=int, default=20, metavar="N", help="seeds to choose from")
    options = parser.parse_args()
    if bool(options.out) == bool(options.verify):
        parser.error("give --out or --verify")
    unknown = [name for name in options.names if name not in VARIANTS]
    if unknown:
        parser.error(f"no variant is called {unknown[0]}")
    ok = True
    for name in options.names or VARIANTS:
        path = Path(options.out or options.verify) / (options.prefix + name)
        if options.verify:
            ok = verify(name, path) and ok
        else:
            make(name, path, Path(options.tokenizer), options.tries)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
