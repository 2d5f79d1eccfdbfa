"""What is measured: rows of the table, settings of each side, and the cells that measure them.

A cell is one process of one side.  It may measure several rows, so that a model that takes half a
minute to load is not loaded for each of them.
"""
from dataclasses import dataclass, field

OURS = "flashmoe"
LLAMA = "llama.cpp"
BMOE = "bmoe"


@dataclass(frozen=True)
class Row:
    name: str
    group: str  # "streamed": in the budget; "ram": all of the model in memory
    kind: str  # "decode": one token after the other; "prefill": as a prompt is read
    tokens: int
    cache: str  # "cold": files evicted, nothing cached; "warm": other text of the book came before
    peer_tokens: int  # a peer that takes ten seconds a token gets fewer

    @property
    def title(self):
        what = "decode" if self.kind == "decode" else f"prefill {self.tokens}"
        return f"{what}, {'all in RAM' if self.group == 'ram' else self.cache}"


ROWS = (
    Row("decode-cold", "streamed", "decode", 64, "cold", 8),
    Row("decode-warm", "streamed", "decode", 64, "warm", 8),
    Row("prefill-512-cold", "streamed", "prefill", 512, "cold", 512),
    Row("prefill-512-warm", "streamed", "prefill", 512, "warm", 512),
    Row("prefill-2048-cold", "streamed", "prefill", 2048, "cold", 2048),
    Row("prefill-8192-cold", "streamed", "prefill", 8192, "cold", 8192),
    Row("ram-decode", "ram", "decode", 64, "warm", 64),
    Row("ram-prefill-512", "ram", "prefill", 512, "warm", 512),
    Row("ram-prefill-2048", "ram", "prefill", 2048, "warm", 2048),
    Row("ram-prefill-8192", "ram", "prefill", 8192, "warm", 8192),
)
BY_NAME = {row.name: row for row in ROWS}
#: Positions the text must have: the longest passage and the one that warms it.
TEXT_TOKENS = 2 * max(row.tokens for row in ROWS)


@dataclass(frozen=True)
class Setting:
    """How a peer runs.  Ours has one setting: what a user gets."""

    omp: str = ""  # OMP_WAIT_POLICY
    ubatch: int = 0  # rows that llama.cpp takes through a layer together
    repack: bool = False  # weights rearranged at load, which needs them all in memory

    def __str__(self):
        parts = [self.omp, f"ubatch {self.ubatch}" if self.ubatch else ""]
        return ", ".join([part for part in parts if part] + (["repacked"] if self.repack else []))


@dataclass(frozen=True)
class Cell:
    side: str
    rows: tuple
    setting: Setting = field(default_factory=Setting)
    round: int = 1

    @property
    def name(self):
        setting = str(self.setting)
        return f"{self.side} {'+'.join(self.rows)}" + (f" ({setting})" if setting else "")

    @property
    def group(self):
        return BY_NAME[self.rows[0]].group


POLICIES = ("passive", "active")


def selected(only):
    """Rows by group or name; all of them for None.  Raises KeyError with what is unknown."""
    if not only:
        return [row.name for row in ROWS]
    names = []
    for word in only:
        found = [row.name for row in ROWS if word in (row.name, row.group, row.kind, row.cache)]
        if not found:
            raise KeyError(word)
        names += [name for name in found if name not in names]
    return [row.name for row in ROWS if row.name in names]


def bundles(names, side):
    """Rows that one process measures together; each streamed row starts its own process."""
    together = ("ram-prefill-512", "ram-decode")
    if side == OURS:
        # The longer prompt goes first: after it nothing is left to read.
        together = ("ram-prefill-2048",) + together
    joint = tuple(name for name in together if name in names)
    result, done = [], False
    for name in names:
        if name not in together:
            result.append((name,))
        elif not done:
            result.append(joint)
            done = True
    return result


def llama_settings(name, best):
    """Settings to try for a row; `best(row, repack)` is the winner of a row measured before.

    Waiting policy is tried where a run is short, and its winner is kept for the longer prompts.
    """
    row = BY_NAME[name]
    if row.group == "streamed":
        ubatch = min(row.peer_tokens, 2048) if row.kind == "prefill" else 512
        winner = best("prefill-512-cold", None) if row.peer_tokens > 512 else None
        policies = (winner.omp,) if winner else POLICIES
        return [Setting(omp, ubatch, False) for omp in policies]
    if name in ("ram-decode", "ram-prefill-512"):
        return [Setting(omp, 512, repack) for repack in (True, False) for omp in POLICIES]
    settings = []
    for repack in (True, False):
        winner = best("ram-prefill-512", repack)
        omp = winner.omp if winner else POLICIES[0]
        if name == "ram-prefill-2048":
            ubatches = (512, 2048) if repack else (512,)
            settings += [Setting(omp, ubatch, repack) for ubatch in ubatches]
        elif repack:
            longer = best("ram-prefill-2048", True)
            settings.append(longer or Setting(omp, 512, True))
    return settings


def cells_of_round(names, sides, number, best):
    """The cells of a round in order, as a generator: later settings depend on earlier results.

    Sides alternate row by row, and every other round starts with the other side.  From round two
    on a peer runs only what won some row, repacked or not.
    """
    for bundle in merge_bundles(names, sides):
        order = list(sides) if number % 2 else list(reversed(sides))
        for side in order:
            for rows in bundles(bundle, side):
                if side != LLAMA:
                    yield Cell(side, rows, round=number)
                    continue
                settings = []
                for name in rows:
                    tried = llama_settings(name, best)
                    if number > 1:
                        winners = {best(name, repack) for repack in (None, True, False)}
                        tried = [setting for setting in tried if setting in winners] or tried[:1]
                    settings += [setting for setting in tried if setting not in settings]
                for setting in settings:
                    yield Cell(side, rows, setting, number)


def merge_bundles(names, sides):
    """The largest sets of rows that some side measures together, in the order of the table."""
    result = []
    for name in names:
        if any(name in group for group in result):
            continue
        group = {name}
        for side in sides:
            for rows in bundles(names, side):
                if group & set(rows):
                    group |= set(rows)
        result.append([each for each in names if each in group])
    return result
