"""The table of a comparison and its place in a page."""
import os

from . import Problem
from .rows import LLAMA, OURS

BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"


def number(value):
    """Three figures."""
    if value is None:
        return "–"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def gigabytes(value, digits=2):
    return "–" if value is None else f"{value / 1e9:.{digits}f}"


def percent(value):
    return "–" if value is None else f"{value * 100:.0f} %"


def peer_cell(found):
    if not found:
        return "–"
    if "error" in found:
        return found["error"]
    text = number(found["tokens_per_second"])
    if not found["complete"]:
        text += f" (first {found['tokens']} tokens)"
    return text


def table(rows, sides):
    peers = [side for side in sides if side != OURS and any(side in row["peers"] for row in rows)]
    has_plain = any("without_repacking" in row["peers"].get(LLAMA, {}) for row in rows)
    head = ["tok/s", "FlashMoE"] + peers
    if has_plain:
        head.append("llama.cpp not repacked")
    head += [f"FlashMoE ÷ {side}" for side in peers]
    head += ["limit", "set by", "of the limit", "read GB/token", "fio GB/s", "peak GB"]
    rule = [":--"] + ["--:"] * (len(head) - 1)
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(rule) + "|"]
    for row in rows:
        mine = row["ours"] or {}
        cells = [row["title"], mine.get("error") or f"**{number(mine.get('tokens_per_second'))}**"]
        cells += [peer_cell(row["peers"].get(side)) for side in peers]
        if has_plain:
            cells.append(peer_cell(row["peers"].get(LLAMA, {}).get("without_repacking")))
        for side in peers:
            ratio = row["peers"].get(side, {}).get("ratio")
            cells.append("–" if ratio is None else f"{number(ratio)} ×")
        found = mine.get("limit") or {}
        cells += [number(mine.get("limit_tokens_per_second")), found.get("set_by", "–"),
                  percent(mine.get("share_of_limit")), gigabytes(mine.get("bytes_per_token"), 3),
                  gigabytes(mine.get("disk_bytes_per_second")), gigabytes(mine.get("peak_bytes"))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def settings(rows):
    """Which of the tried settings each peer's figures come from."""
    chosen = {}
    for row in rows:
        for side, found in row["peers"].items():
            if found.get("setting"):
                chosen.setdefault(f"{side}, {found['setting']}", []).append(row["title"])
    return "; ".join(f"{setting}: {', '.join(titles)}" for setting, titles in chosen.items())


def fio_pages(fio):
    return ("in huge pages" if fio["huge_pages"] else
            "in small pages, since no huge ones could be set aside (it may show less than the disk "
            "gives)")


def section(document, picture):
    """The whole text between the markers."""
    machine, model, peaks = document["machine"], document["model"], document["peaks"]
    budgets = document["budgets"]
    rows, versions = document["rows"], document["versions"]
    rounds = document["rounds"]
    many = f"medians of {rounds} rounds" if rounds > 1 else "one round"
    lines = [
        table(rows, document["sides"]),
        "",
        f"![Tokens per second of FlashMoE and others]({picture})",
        "",
        f"{document['date']}; {many}, sides in turn, machine otherwise idle, {document['threads']} "
        "threads each.",
        "",
        f"- Machine: {machine['processor']}, {machine['cores']} cores "
        f"({', '.join(machine['instructions'])}), {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"{machine['system']}, Linux {machine['kernel']}.",
        f"- Model: {model['name']}, {model['bytes'] / 1e9:.1f} GB, {model['layers']} layers of "
        f"{model['experts']} experts, trained top-{model['top_k']}; {model['schemes']}, the same "
        "bits for all sides.",
        f"- Memory control group, page cache included, no swap: {budgets['streamed']:,} bytes; "
        f"rows in RAM {budgets['ram']:,} bytes. Files are evicted before every run.",
        "- Tokens: a book's, the same ids for all sides, fed one after the other in decode; "
        "cold starts with nothing cached, warm after another passage.",
        f"- Versions: FlashMoE {versions['flashmoe']}; llama.cpp {versions['llama.cpp']}; "
        f"{versions['compiler']}.",
    ]
    chosen = settings(rows)
    if chosen:
        lines.append(f"- The better of the tried settings: {chosen}.")
    if any("without_repacking" in row["peers"].get(LLAMA, {}) for row in rows):
        lines.append("- *Not repacked* maps the file and computes on its own layout.")
    lines += [
        f"- Limits of this run: memory {peaks['memory_bytes_per_second'] / 1e9:.1f} GB/s and "
        f"{peaks['integer_ops_per_second'] / 1e12:.2f} int8 TOPS ({peaks['integer_instructions']}) "
        f"with {document['threads']} threads; the disk by fio, "
        f"{document['fio']['block_bytes'] >> 10} KiB, depth {document['fio']['depth']}, io_uring, "
        f"O_DIRECT, registered buffers {fio_pages(document['fio'])}, the faster of random blocks "
        "and random records, before and after each streamed run (a shared disk moves: above 100 % it gave more in between). "
        "A row's limit is the longest of "
        "the disk's time for the bytes that were read, memory's for the bytes a token touches "
        "(decode) and arithmetic's for the products.",
        "",
        "Commands (raw numbers and all settings: "
        f"[{os.path.basename(document['raw'])}]({document['raw']})):",
        "",
    ]
    lines += [f"    {line}" for line in document["commands"]]
    return "\n".join(lines)


def insert(page, text):
    """`page` with the text between the markers replaced; anything else stays."""
    begin, end = page.find(BEGIN), page.find(END)
    if begin < 0 or end < begin:
        raise Problem(f"the page has no place for the table: {BEGIN} and {END} are missing")
    return page[:begin + len(BEGIN)] + "\n" + text.strip("\n") + "\n" + page[end:]
