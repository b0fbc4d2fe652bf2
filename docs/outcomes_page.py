"""Writes docs/outcomes.md from the table of bulkcmp/cmp/explanation.py.

python docs/outcomes_page.py > docs/outcomes.md
"""

from collections.abc import Iterable

from bulkcmp.cmp import explanation
from bulkcmp.cmp.explanation import Explanation
from bulkcmp.cmp.messages import FAIL_INFO

_HEAD = """\
# Outcomes

Made from the table of `bulkcmp/cmp/explanation.py` by `python docs/outcomes_page.py`; do not edit.
`bulkcmp outcomes [TEXT]` shows the same in a terminal.

Each row of `results.csv` has an `outcome` and, where one class has several causes, a `reason`: both
are fixed words, made to be counted. `detail` says the rest in a sentence. `pki_status`, `fail_info`
and `status_text` are the CA's own words; a text that nobody proved to come from the CA begins with
`(unauthenticated)`.

`resume` takes up what is marked so; nothing is sent twice without `--retry-unknown` or
`--retry-failed`.
"""


def page() -> str:
    """The page, in Markdown."""
    return (
        "\n".join(
            (
                _HEAD,
                *_table(
                    ("outcome", "what it means", "what to do", "`resume`"),
                    (
                        (_code(kind), known.meaning, known.hint, known.resume)
                        for kind, known in explanation.CLASSES.items()
                    ),
                ),
                "## By PKIStatus\n",
                *_table(
                    ("PKIStatus", "outcome", "what it means"),
                    (
                        (
                            f"{status.value} {explanation.asn1_name(status)}",
                            _codes(explanation.classes_of_status(status)),
                            known.meaning,
                        )
                        for status, known in explanation.STATUSES.items()
                    ),
                ),
                "Any other PKIStatus is a `bad response`, reason `unknown PKIStatus`.\n",
                "## By PKIFailureInfo\n",
                "The names of the bits are the `reason` of a `rejected`, and stand in `fail_info`."
                " The first outcome is that of a refusal whose protection is good, or that"
                " `--unprotected-errors` believes.\n",
                *_table(
                    (
                        "failInfo",
                        "outcome",
                        "without good protection",
                        "what it means",
                        "what to do",
                    ),
                    (
                        (
                            f"{bit} `{name}`",
                            *map(_code, explanation.classes_of_fail_info(name)),
                            *_told(explanation.FAIL_INFOS[name]),
                        )
                        for bit, name in enumerate(FAIL_INFO)
                    ),
                ),
                "## By what the CA's text says\n",
                *_table(
                    ("in `status_text`", "what it means", "what to do"),
                    ((_code(text), *_told(known)) for text, known in explanation.TEXTS.items()),
                ),
                "## By check\n",
                "Protection comes first: nothing of a message is believed before its protection was"
                " found good. The second outcome is that of a bad answer to a certConf.\n",
                *_table(
                    ("reason", "outcome", "what it means", "what to do"),
                    (
                        (
                            _code(reason),
                            _codes(explanation.classes_of_check(reason)),
                            *_told(known),
                        )
                        for reason, known in explanation.CHECKS.items()
                    ),
                ),
                "## By transport\n",
                "What the loss of an answer makes of a request, of a genm, of a poll and of a"
                " certConf, once"
                " nothing is repeated any more. The reason of an `HTTP error` is its status:"
                " `HTTP 404`, `HTTP 500` ….\n",
                *_table(
                    (
                        "reason",
                        "request",
                        "genm",
                        "pollReq",
                        "certConf",
                        "what it means",
                        "what to do",
                    ),
                    (
                        (
                            _code(loss),
                            *map(_code, explanation.classes_of_loss(loss)),
                            *_told(known),
                        )
                        for loss, known in explanation.LOSSES.items()
                    ),
                ),
                "## Other reasons\n",
                *_table(
                    ("reason", "what it means", "what to do"),
                    (
                        (_code(reason), *_told(known))
                        for reason, known in explanation.OTHERS.items()
                    ),
                ),
            )
        ).rstrip("\n")
        + "\n"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return [*("| " + " | ".join(cells) + " |" for cells in lines), ""]


def _told(known: Explanation) -> tuple[str, str]:
    return known.meaning, known.hint


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(texts: Iterable[str]) -> str:
    return "; ".join(map(_code, texts))


if __name__ == "__main__":
    print(page(), end="")
