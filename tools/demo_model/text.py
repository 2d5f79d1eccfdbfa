"""From text files to token windows: the tokenizer, the training stream, the held-out text."""
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from .model import UserError

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
EVALUATION_WINDOW = 512


def text_files(arguments: list[str], flag: str) -> list[Path]:
    files = []
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = sorted(path.glob("*.txt"))
            if not found:
                raise UserError(f"{flag}: there is no *.txt in {path}")
            files += found
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{flag}: {path} does not exist")
    return files


def read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; convert it first") from None


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE with Qwen's pre-tokenizer; the special tokens take the last ids."""
    size = vocabulary - len(SPECIAL_TOKENS)
    if size < 256:
        raise UserError(f"--vocabulary {vocabulary} cannot hold 256 bytes and {len(SPECIAL_TOKENS)} special tokens")
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    paragraphs = (paragraph for text in texts for paragraph in text.splitlines(keepends=True))
    tokenizer.train_from_iterator(paragraphs, trainer)
    if tokenizer.get_vocab_size() != size:
        raise UserError(
            f"the text yields only {tokenizer.get_vocab_size()} tokens of --vocabulary {vocabulary}:"
            " give more text or a smaller vocabulary"
        )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return tokenizer


class Corpus:
    """Training text: one stream of all books, and conversations cut from them.

    A batch depends on the seed and the step alone, so a resumed run sees what the
    uninterrupted one would have seen.
    """

    def __init__(self, texts: list[str], tokenizer: Tokenizer, chat_share: float, seed: int):
        self.tokenizer, self.chat_share, self.seed = tokenizer, chat_share, seed
        end = tokenizer.token_to_id(SPECIAL_TOKENS[0])
        stream = []
        for encoding in tokenizer.encode_batch(texts):
            stream += [encoding.ids, [end]]
        self.stream = np.concatenate([np.asarray(part, dtype=np.int32) for part in stream])
        self.books = [[p for p in text.split("\n\n") if p.strip()] for text in texts]
        self.books = [book for book in self.books if len(book) > 1]
        if chat_share > 0 and not self.books:
            raise UserError("--chat-share needs text in paragraphs with blank lines between; use --chat-share 0")
        self.book_share = np.array([sum(map(len, book)) for book in self.books], dtype=np.float64)
        self.book_share /= max(self.book_share.sum(), 1)

    def batch(self, step: int, windows: int, context: int) -> Tensor:
        """[windows, context + 1] token ids: inputs and, one further, targets."""
        random = np.random.default_rng([self.seed, step])
        rows = []
        for _ in range(windows):
            if random.random() < self.chat_share:
                rows.append(self.conversations(random, context + 1))
            else:
                start = random.integers(0, len(self.stream) - context)
                rows.append(self.stream[start : start + context + 1])
        return torch.from_numpy(np.stack(rows).astype(np.int64))

    def conversations(self, random: np.random.Generator, length: int) -> np.ndarray:
        """As many "Continue the story" exchanges as fill `length` tokens; the last is cut off."""
        ids = []
        while len(ids) < length:
            book = self.books[random.choice(len(self.books), p=self.book_share)]
            at = int(random.integers(0, len(book) - 1))
            words = book[at].split(" ")
            shown = int(random.integers(5, 80))
            # A long paragraph is broken off inside; the answer goes on with the next word.
            opening, rest = " ".join(words[:shown]), " ".join(words[shown:])
            answer = [rest] if rest else []
            target = int(random.integers(200, 1600))
            for paragraph in book[at + 1 :]:
                if sum(map(len, answer)) >= target:
                    break
                answer.append(paragraph)
            body = "\n\n".join(answer)
            text = (
                f"<|im_start|>user\nContinue the story: {opening}<|im_end|>\n"
                f"<|im_start|>assistant\n{body}<|im_end|>\n"
            )
            ids += self.tokenizer.encode(text).ids
        return np.asarray(ids[:length], dtype=np.int32)


def heldout_windows(files: list[Path], tokenizer: Tokenizer) -> Tensor:
    """[n, 512]: every book cut into windows without overlap; the rest of a book is left out."""
    rows = []
    for path in files:
        ids = tokenizer.encode(read_text(path)).ids
        rows += [ids[i : i + EVALUATION_WINDOW]
                 for i in range(0, len(ids) - EVALUATION_WINDOW + 1, EVALUATION_WINDOW)]
    if not rows:
        raise UserError(f"--heldout: no text there has {EVALUATION_WINDOW} tokens")
    return torch.tensor(rows)
