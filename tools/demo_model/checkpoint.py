"""What a finished checkpoint is made of: its files, and the values a runtime is checked against."""
import json
import math
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from .model import ModelConfiguration, QwenMoE, UserError
from .text import EVALUATION_WINDOW, SPECIAL_TOKENS, heldout_windows, text_files

CHATML_TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content"
    " + '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
GREEDY_PROMPT = "Once upon a time"
GREEDY_TOKENS = 64
REFERENCE_ROWS = 64


@torch.no_grad()
def mean_loss(model: QwenMoE, windows: Tensor, precision: torch.dtype, device) -> float:
    """Mean negative log-likelihood, in nats, of all tokens of each window but its first."""
    total, count = 0.0, 0
    for rows in windows.split(8):
        rows = rows.to(device)
        logits, _, _ = model(rows, precision)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
        total += float(loss)
        count += rows[:, 1:].numel()
    return total / count


@torch.no_grad()
def greedy(model: QwenMoE, ids: list[int], count: int, device) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        logits, _, _ = model(torch.tensor([ids], device=device), torch.float32)
        ids.append(int(logits[0, -1].argmax()))
    return ids


@torch.no_grad()
def reference_logits(model: QwenMoE, ids: Tensor, device) -> Tensor:
    logits, _, _ = model(ids.long().view(1, -1).to(device), torch.float32)
    return logits[0].cpu()


def write_atomically(path: Path, write):
    """Calls write(temporary path); the file gets its name once it is on the disk."""
    temporary = path.with_name(path.name + ".partial")
    write(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)  # safetensors makes files that only their owner may read
    os.replace(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def write_json(path: Path, value):
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def export(model: QwenMoE, tokenizer: Tokenizer, heldout: Tensor, options, device, out: Path):
    """Writes the checkpoint; from here on the model holds the bf16 weights that were written."""
    tensors = model.published_tensors()
    model.load_published(tensors)
    end_of_text, _, end_of_turn = (tokenizer.token_to_id(t) for t in SPECIAL_TOKENS)
    c = model.configuration
    tensors = dict(sorted(tensors.items()))
    write_atomically(out / "model.safetensors", lambda p: save_file(tensors, p, metadata={"format": "pt"}))
    write_json(out / "config.json", c.published(options.balance_weight, end_of_turn))
    write_json(out / "generation_config.json", {
        "eos_token_id": [end_of_turn, end_of_text],
        "pad_token_id": end_of_text,
        "do_sample": True,
        "temperature": 0.8,
        "top_p": 0.95,
        "top_k": 40,
    })
    write_json(out / "tokenizer_config.json", {
        "tokenizer_class": "Qwen2Tokenizer",
        "model_max_length": c.max_positions,
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": SPECIAL_TOKENS[2],
        "pad_token": SPECIAL_TOKENS[0],
        "unk_token": None,
        "chat_template": CHATML_TEMPLATE,
    })

    ids = heldout[0]
    logits = reference_logits(model, ids, device)
    loss = float(F.cross_entropy(logits[:-1], ids[1:]))
    continued = greedy(model, tokenizer.encode(GREEDY_PROMPT).ids, GREEDY_TOKENS, device)
    expected = {
        "input_ids": ids.to(torch.int32),
        "logits": logits[-REFERENCE_ROWS:].contiguous(),
        "greedy_ids": torch.tensor(continued, dtype=torch.int32),
    }
    write_atomically(out / "expected.safetensors", lambda p: save_file(expected, p))
    write_json(out / "expected.json", {
        "prompt": GREEDY_PROMPT,
        "greedy_text": tokenizer.decode(continued, skip_special_tokens=False),
        "nll_512": loss,
        "note": f"logits: the last {REFERENCE_ROWS} of the {EVALUATION_WINDOW} positions;"
        " float32 arithmetic on the bf16 weights",
    })


def check(options):
    """Compares a checkpoint with the reference values beside it. Returns the exit status."""
    directory = Path(options.check)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (directory / name).is_file():
            raise UserError(f"--check: {directory / name} does not exist")
    device = torch.device(options.device)
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "model.safetensors")
    except (ValueError, SafetensorError) as error:
        raise UserError(f"--check: {directory} is damaged: {error}") from None
    model = QwenMoE(ModelConfiguration.from_published(config))
    model.load_published(tensors)
    model.to(device)
    status = 0
    if (directory / "expected.safetensors").is_file():
        expected = load_file(directory / "expected.safetensors")
        logits = reference_logits(model, expected["input_ids"], device)[-len(expected["logits"]) :]
        difference = float((logits - expected["logits"]).abs().max())
        wanted = expected["greedy_ids"].tolist()
        start = len(wanted) - GREEDY_TOKENS
        same = greedy(model, wanted[:start], GREEDY_TOKENS, device) == wanted
        status = 0 if difference < 1e-3 and same else 1
        print(f"largest logit difference {difference:.1e}; greedy tokens {'equal' if same else 'DIFFER'}")
    elif not options.heldout:
        raise UserError(f"--check: {directory} has no expected.safetensors; give --heldout to measure perplexity")
    if options.heldout:
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        windows = heldout_windows(text_files([options.heldout], "--heldout"), tokenizer)
        perplexity = math.exp(mean_loss(model, windows, torch.float32, device))
        print(f"held-out perplexity {perplexity:.2f} ({len(windows)} windows of {EVALUATION_WINDOW})")
    return status
