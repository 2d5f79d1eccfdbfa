"""The command line of tools/compare."""
import argparse
import os

from .prepare import REPOSITORY
from .rows import ROWS

UNITS = {"GB": 10**9, "GIB": 2**30, "MB": 10**6, "MIB": 2**20, "": 1}
#: The books the tests use, where they are; any other English text does as well.
BOOKS = os.path.join(os.path.dirname(REPOSITORY), "shared", "corpus", "heldout")


def size(text):
    """Bytes of 6GB, 6GiB, 512MB or a plain number."""
    word = text.strip().upper()
    digits = word.rstrip("BIGM")
    try:
        return int(float(digits) * UNITS[word[len(digits):]])
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"{text} is no size like 6GB or 512MiB") from None


def default_text():
    if os.path.isdir(BOOKS):
        for name in sorted(os.listdir(BOOKS)):
            if name.endswith(".txt"):
                return os.path.join(BOOKS, name)
    return None


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        prog="tools/compare", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compare FlashMoE with llama.cpp on this machine: the same weights, tokens, "
        "threads and memory limit, sides in turn.",
        epilog="rows: " + ", ".join(row.name for row in ROWS) + "\n\n"
        "Needs root (memory control groups), fio, a C and C++ compiler and Python 3.9. "
        "docs/benchmarking.md explains the rest.")
    parser.add_argument("--text", default=default_text(), metavar="FILE",
                        help="an English text of at least 80 KB that is fed token by token")
    parser.add_argument("--work", default=os.path.join(REPOSITORY, ".build-compare"), metavar="DIR",
                        help="where everything is made and remembered (.build-compare; 40 GB)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds; medians (3)")
    parser.add_argument("--only", action="append", metavar="ROWS",
                        help="rows or groups, comma-separated: streamed, ram, decode, prefill, "
                        "cold, warm, or names")
    parser.add_argument("--side", action="append", metavar="NAME",
                        help="run only these sides now: flashmoe, llama.cpp, bmoe")
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="start no run after so many minutes; the next call goes on")
    parser.add_argument("--budget", type=size, default=size("6GB"), metavar="SIZE",
                        help="memory of the streamed rows (6GB)")
    parser.add_argument("--ram-budget", type=size, metavar="SIZE",
                        help="memory of the rows in RAM (the model and 2.5 GB)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads each (2)")
    parser.add_argument("--seconds", type=float, default=225, metavar="N",
                        help="deadline of one run, loading included (225)")
    parser.add_argument("--model", metavar="FILE.gguf", help="a model in place of the one written")
    parser.add_argument("--store", metavar="DIR.fmoe", help="its store in place of packing it")
    parser.add_argument("--vocab", metavar="FILE.gguf", help="vocabulary of the written model")
    parser.add_argument("--llama", metavar="DIR", help="a build of llama.cpp with bin/libllama.so")
    parser.add_argument("--flashmoe", default=os.path.join(REPOSITORY, ".build/release/flashmoe"),
                        metavar="FILE", help="our program (.build/release/flashmoe)")
    parser.add_argument("--peer-bmoe", metavar="FILE", help="an adapter that runs BigMoeOnEdge")
    parser.add_argument("--output", default=os.path.join(REPOSITORY, "docs", "performance"),
                        metavar="DIR", help="where picture and raw numbers go (docs/performance)")
    parser.add_argument("--page", default=os.path.join(REPOSITORY, "docs", "performance.md"),
                        metavar="FILE", help="page whose marked section is replaced")
    parser.add_argument("--prepare", action="store_true", help="make everything, measure nothing")
    parser.add_argument("--report", action="store_true", help="write the report again, run nothing")
    options = parser.parse_args(arguments)
    options.only = [word for words in options.only or [] for word in words.split(",") if word]
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    return options
