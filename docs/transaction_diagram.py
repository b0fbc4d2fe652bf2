"""Writes docs/transaction.md from the transaction's transition table.

python docs/transaction_diagram.py > docs/transaction.md
"""

from bulkcmp.cmp.state import TRANSITIONS, State

_HEAD = """\
# The transaction, state by state

Made from the transition table of `bulkcmp/cmp/state.py` by `python
docs/transaction_diagram.py`; do not edit.

An event leads from one state to one of several, as its message says; no event but these may come in
a state.
"""


def page() -> str:
    """The page, in Markdown with a Mermaid diagram."""
    order = list(State)
    lines = [_HEAD, "```mermaid", "stateDiagram-v2", "    [*] --> NEW"]
    for (state, event), (_, targets) in TRANSITIONS.items():
        lines += [
            f"    {state.name} --> {target.name}: {event.__name__}"
            for target in sorted(targets, key=order.index)
        ]
    lines += ["    FINISHED --> [*]", "```", "", "| state | meaning |", "|---|---|"]
    lines += [f"| {state.name} | {state.value} |" for state in order]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
