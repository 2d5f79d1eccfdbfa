"""Runs FlashMoE and other runtimes alternately under equal limits; see docs/benchmarking.md.

rows.py       what is measured: rows, the settings of each side, the cells that measure them
journal.py    what has been measured already
prepare.py    llama.cpp from its source package, the driver, the probe
model.py      the model file, its store, and the ids of the text
synthetic.py  writes the model file (run by the work directory's own Python, needs numpy)
gguf.py       the header of a GGUF file
programs.py   the command lines of each side, and what they print
control.py    a command in a memory control group with a deadline
probes.py     fio, memory bandwidth, arithmetic peak
limits.py     what the machine could do at best
summary.py    medians, best settings, ratios
report.py     the table and its page;  plot.py  the picture
"""


class Problem(Exception):
    """Something the person at the keyboard can mend; printed without a traceback."""
