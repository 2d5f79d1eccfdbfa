#!/usr/bin/env python3
"""Trains a small Qwen3-MoE language model from plain text and writes it as a Hugging Face checkpoint.

    train_demo_model.py --train DIR --heldout DIR --out DIR [--resume]
    train_demo_model.py --check CHECKPOINT [--heldout DIR]

The first form trains; without further options it makes a model such as the demo model
(docs/demo-model.md). The second loads a checkpoint, compares it with the reference logits
beside it (expected.safetensors) and measures its perplexity.

Needs torch, tokenizers, safetensors and numpy: pip install -r tools/requirements-train.txt
"""
import argparse
import dataclasses
import hashlib
import math
import signal
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from demo_model.checkpoint import check, export, mean_loss, write_atomically
from demo_model.model import ModelConfiguration, QwenMoE, UserError
from demo_model.text import EVALUATION_WINDOW, Corpus, heldout_windows, read_text, text_files, train_tokenizer
from tokenizers import Tokenizer
from torch import nn

TRAINING_STATE = "training.pt"

# What must be the same in a resumed run: with any other value it would be another run.
RUN_SETTINGS = [
    "vocabulary", "hidden", "layers", "heads", "kv_heads", "head_dim", "experts", "top_k",
    "expert_inner", "rope_theta", "norm_eps", "tied", "max_positions", "steps", "batch_tokens",
    "context", "final_context", "final_share", "chat_share", "seed", "learning_rate", "final_rate",
    "warmup", "weight_decay", "gradient_clip", "balance_weight", "z_weight", "precision",
]  # fmt: skip


def learning_rate(step: int, options) -> float:
    """Linear warm-up, then half a cosine down to --final-rate of the peak."""
    warmup = max(1, round(options.warmup * options.steps))
    if step < warmup:
        return options.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, options.steps - warmup)
    floor = options.final_rate
    return options.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimizer(model: QwenMoE, options) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.95), eps=1e-8)


def save_state(path: Path, step: int, model, optimizer, settings: dict):
    state = {"step": step, "settings": settings, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    write_atomically(path, lambda p: torch.save(state, p))


def load_state(path: Path, settings: dict, device) -> dict:
    if not path.exists():
        raise UserError(f"--resume: {path} does not exist; start without --resume")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        saved = state["settings"]
    except Exception as error:
        raise UserError(f"{path} cannot be read ({type(error).__name__}); start again in another --out") from None
    for name, value in settings.items():
        if saved.get(name) != value:
            shown = "--train texts" if name == "text" else "--" + name.replace("_", "-")
            raise UserError(f"--resume: the run in {path.parent} has other {shown}: {saved.get(name)}, not {value}")
    return state


def duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 90:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 5400 else f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


class StopRequest:
    """SIGINT or SIGTERM: finish the step, save, leave. A second one ends at once."""

    def __init__(self):
        self.received = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.note)

    def note(self, number, frame):
        self.received = number
        signal.signal(number, signal.SIG_DFL)


def train(options):
    configuration = ModelConfiguration(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(ModelConfiguration)}
    )
    configuration.check()
    device = torch.device(options.device)
    precision = {"bf16": torch.bfloat16, "f32": torch.float32}[options.precision]
    train_files = text_files(options.train, "--train")
    heldout_files = text_files([options.heldout], "--heldout")
    texts = [read_text(path) for path in train_files]
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / TRAINING_STATE
    if state_path.exists() and not options.resume:
        raise UserError(f"{out} holds an unfinished run: add --resume to go on, or give another --out")
    if (out / "model.safetensors").exists():
        raise UserError(f"{out} holds a finished model: give another --out")
    settings = {name: getattr(options, name) for name in RUN_SETTINGS}
    settings["text"] = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    # Before minutes go into a tokenizer.
    state = load_state(state_path, settings, device) if options.resume else None

    begin = time.monotonic()
    if state:
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(texts, configuration.vocabulary)
        write_atomically(out / "tokenizer.json", lambda p: tokenizer.save(str(p)))
    corpus = Corpus(texts, tokenizer, options.chat_share, options.seed)
    heldout = heldout_windows(heldout_files, tokenizer)
    longest = max(options.context, options.final_context)
    if len(corpus.stream) <= longest + 1:
        raise UserError(f"--train: {len(corpus.stream)} tokens are less than one window of {longest}")

    model = QwenMoE(configuration)
    model.initialize(torch.Generator().manual_seed(options.seed))
    model.to(device)
    optimizer = make_optimizer(model, options)
    first_step = 0
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first_step = state["step"]
        state = None
    parameters = sum(p.numel() for p in model.parameters())
    idle = configuration.layers * (configuration.experts - configuration.top_k)
    active = parameters - idle * 3 * configuration.expert_inner * configuration.hidden
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{len(train_files)} books, {len(corpus.stream):,} tokens; held out {heldout.numel():,} tokens;"
        f" prepared in {duration(time.monotonic() - begin)}\n"
        f"{parameters / 1e6:.1f} M parameters, {active / 1e6:.1f} M work on a token; {where}; {options.precision}",
        flush=True,
    )

    # Evaluation while training is a sample, spread over the text; the last one is whole.
    spread = torch.linspace(0, len(heldout) - 1, min(options.eval_windows, len(heldout))).long()
    stop = StopRequest()
    final_start = options.steps - round(options.final_share * options.steps)
    started, tokens, shown_loss, shown_steps = time.monotonic(), 0, 0.0, 0
    for step in range(first_step, options.steps):
        context = options.final_context if step >= final_start else options.context
        batch = corpus.batch(step, max(1, options.batch_tokens // context), context).to(device)
        rate = learning_rate(step, options)
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits, balance, z_loss = model(batch[:, :-1], precision)
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        (loss + options.balance_weight * balance + options.z_weight * z_loss).backward()
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), options.gradient_clip))
        loss, balance = float(loss.detach()), float(balance.detach())
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise UserError(
                f"the loss or its gradient is not finite at step {step + 1}: try a lower --learning-rate"
                f" or --precision f32; {state_path.name}, if there, holds the last good state"
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        tokens += batch[:, 1:].numel()
        shown_loss += loss
        shown_steps += 1
        done = step + 1
        if done % options.log_every == 0 or done == options.steps:
            elapsed = time.monotonic() - started
            left = elapsed / (done - first_step) * (options.steps - done)
            print(
                f"step {done}/{options.steps}  loss {shown_loss / shown_steps:.4f}"
                f"  balance {balance / configuration.top_k:.2f}  rate {rate:.1e}"
                f"  {tokens / elapsed:,.0f} tok/s  {duration(left)} left",
                flush=True,
            )
            shown_loss, shown_steps = 0.0, 0
        if options.eval_every and done % options.eval_every == 0 and done < options.steps:
            perplexity = math.exp(mean_loss(model, heldout[spread], precision, device))
            print(f"step {done}/{options.steps}  held-out perplexity {perplexity:.2f} of {len(spread)} windows", flush=True)
        if stop.received or done % options.save_every == 0 or done == options.steps:
            save_state(state_path, done, model, optimizer, settings)
        if stop.received:
            print(f"stopped after step {done}; the same command with --resume goes on", flush=True)
            sys.exit(128 + stop.received)

    export(model, tokenizer, heldout, options, device, out)
    perplexity = math.exp(mean_loss(model, heldout, torch.float32, device))
    state_path.unlink(missing_ok=True)
    print(
        f"wrote {out}; held-out perplexity {perplexity:.2f}"
        f" ({len(heldout)} windows of {EVALUATION_WINDOW}, bf16 weights)"
    )


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults where there are any."""

    def _get_help_string(self, action):
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Trains a small Qwen3-MoE from plain text files and writes a Hugging Face checkpoint."
        " Without further options the model has the demo model's shape (41 M parameters).",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument_group("files").add_argument
    add("--train", nargs="+", metavar="PATH", help="text files, or folders of *.txt; UTF-8, blank lines between paragraphs")
    add("--heldout", metavar="PATH", help="text, or a folder of it, that is only used to measure perplexity")
    add("--out", metavar="DIR", help="where the checkpoint goes (and, while training, the state to resume from)")
    add("--resume", action="store_true", help="go on with the unfinished run in --out; give the same options again")
    add("--check", metavar="DIR", help="do not train: compare the checkpoint in DIR with its expected.safetensors,"
        " and measure perplexity on --heldout")  # fmt: skip

    add = parser.add_argument_group("model").add_argument
    add("--vocabulary", type=int, default=4096, metavar="N", help="tokens, three special ones included")
    add("--hidden", type=int, default=256, metavar="N", help="width of the residual stream")
    add("--layers", type=int, default=6, metavar="N", help="decoder layers, each with experts")
    add("--heads", type=int, default=4, metavar="N", help="query heads")
    add("--kv-heads", type=int, default=2, metavar="N", help="key and value heads")
    add("--head-dim", type=int, default=64, metavar="N", help="width of a head")
    add("--experts", type=int, default=64, metavar="N", help="experts a layer")
    add("--top-k", type=int, default=4, metavar="N", help="experts that work on a token")
    add("--expert-inner", type=int, default=128, metavar="N", help="inner width of an expert")
    add("--rope-theta", type=float, default=1e5, metavar="X", help="RoPE base")
    add("--norm-eps", type=float, default=1e-6, metavar="X", help="epsilon of the RMS norms")
    add("--max-positions", type=int, default=4096, metavar="N", help="context length written to config.json")
    add("--tied", action="store_true", help="use the embeddings as output head")

    add = parser.add_argument_group("training").add_argument
    add("--steps", type=int, default=1380, metavar="N", help="optimizer steps")
    add("--batch-tokens", type=int, default=8192, metavar="N", help="tokens a step")
    add("--context", type=int, default=512, metavar="N", help="tokens a window")
    add("--final-context", type=int, default=2048, metavar="N", help="tokens a window in the last steps")
    add("--final-share", type=float, default=0.1, metavar="X", help="share of the steps with --final-context")
    add("--chat-share", type=float, default=0.1, metavar="X", help='share of windows of ChatML "Continue the story: …"')
    add("--learning-rate", type=float, default=2e-3, metavar="X", help="peak rate of AdamW")
    add("--final-rate", type=float, default=0.05, metavar="X", help="share of the peak rate that is left at the end")
    add("--warmup", type=float, default=0.04, metavar="X", help="share of the steps in which the rate rises")
    add("--weight-decay", type=float, default=0.1, metavar="X", help="decay of matrices (norms have none)")
    add("--gradient-clip", type=float, default=1.0, metavar="X", help="largest gradient norm")
    add("--balance-weight", type=float, default=0.01, metavar="X", help="weight of the load-balancing loss")
    add("--z-weight", type=float, default=0.0, metavar="X", help="weight of the router's z-loss")
    add("--seed", type=int, default=1, metavar="N", help="of the first weights and of the order of the text")
    add("--precision", choices=["bf16", "f32"], default="bf16", help="type of the matrix products")

    add = parser.add_argument_group("running").add_argument
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu")
    add("--threads", type=int, metavar="N", help="CPU threads (all cores if not given)")
    add("--log-every", type=int, default=10, metavar="N", help="steps between progress lines")
    add("--eval-every", type=int, default=200, metavar="N", help="steps between measurements of perplexity; 0 for none")
    add("--eval-windows", type=int, default=64, metavar="N", help="held-out windows of a measurement; the last takes all")
    add("--save-every", type=int, default=100, metavar="N", help="steps between saved states")
    options = parser.parse_args(arguments)

    if options.check:
        return options
    for name in ("train", "heldout", "out"):
        if not getattr(options, name):
            parser.error(f"--{name} is missing")
    for name in ("steps", "context", "final_context", "log_every", "save_every", "eval_windows"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    for name in ("final_share", "chat_share", "warmup", "final_rate"):
        if not 0 <= getattr(options, name) <= 1:
            parser.error(f"--{name.replace('_', '-')} must be between 0 and 1")
    longest = max(options.context, options.final_context if options.final_share else 0)
    if longest > options.batch_tokens:
        parser.error(f"--batch-tokens {options.batch_tokens} holds no window of {longest} tokens")
    if longest > options.max_positions:
        parser.error(f"--max-positions {options.max_positions} is less than a window of {longest} tokens")
    return options


def main() -> int:
    options = parse(sys.argv[1:])
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("highest")
    try:
        if options.check:
            return check(options)
        train(options)
        return 0
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
