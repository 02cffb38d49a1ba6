"""Formulas of docstrings, which are plain text (`x_t = sqrt(1-t^2) x_0`), as MathML in the site.

Docstrings stay as they are read in a terminal. A formula is found by its words: letters, Greek names, functions,
numbers and operators that stand side by side. What is not sure to be one stays text.
"""

from __future__ import annotations

import re
from html import escape

GREEK = {
    **{"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ϵ", "theta": "θ", "lambda": "λ", "mu": "μ"},
    **{"pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "ϕ", "psi": "ψ", "omega": "ω"},
    **{"Phi": "Φ", "Sigma": "Σ", "Delta": "Δ"},
}
FUNCTIONS = frozenset(
    ("sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "ln", "log", "sigmoid", "logit", "max", "min")
) | {"sign", "tr", "Beta", "KL", "mean", "std"}
INNER = frozenset(("output", "int", "prev", "dx", "dt", *FUNCTIONS, *GREEK))
"""Words that are part of a formula beside operators."""

SYMBOL = re.compile(
    rf"(?:d_?)?(?:[A-Za-z]|{'|'.join(GREEK)})_(?:\d|[A-Za-z]|{'|'.join(GREEK)}|min|max|prev)(?![A-Za-z_])"
)
WORD = re.compile(r"[A-Za-z]+")
CHARACTERS = re.compile(r"[A-Za-z0-9_^()+\-*/|=<>~\[\]{}.,']+")
CERTAIN = re.compile(r"[=^]|<|~|[A-Za-z]_[0-9a-z]|[\w)] ?[+/] ?[\w(]|sqrt\(|\d - |[a-z]\(|\d[a-z]\b")
OPERATORS = {"-": "−", "<=": "≤", ">=": "≥", "->": "→", "*": "·", "~": "∼", "'": "′", "int": "∫"}
TOKEN = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?(?:e-?\d+)?|<=|>=|->|.")


def with_formulas(text: str) -> str:
    """Return a Markdown text with its formulas as MathML; what is code stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if number % 2 else _prose(part) for number, part in enumerate(parts))


def _prose(text: str) -> str:
    words = re.split(r"(\s+)", text)
    done: list[str] = []
    position = 0
    while position < len(words):
        end = _end_of_formula(words, position)
        if end is None:
            done.append(_escaped(words[position]))
            position += 1
        else:
            before, formula, after = _apart("".join(words[position:end]))
            done.append(_escaped(before) + mathml(formula) + _escaped(after))
            position = end
    return "".join(done)


def _end_of_formula(words: list[str], start: int) -> int | None:
    """Return where the longest formula ends that begins with a word; None where none does."""
    best, depth = None, 0
    for position in range(start, len(words), 2):
        word = words[position]
        if not _may_belong(word, depth):
            break
        depth += sum(map(word.count, "([{")) - sum(map(word.count, ")]}"))
        _, formula, _ = _apart("".join(words[start : position + 1]))
        if _is_formula(formula):
            best = position + 1
        if re.search(r"[,.;:]$", word) and depth <= 0:
            break
    return best


def _may_belong(word: str, depth: int) -> bool:
    """Tell whether a word can be part of a formula; `depth` counts the brackets that are open before it."""
    bare = word.rstrip(",.;:")
    if not bare or not CHARACTERS.fullmatch(bare):
        return False
    rest = SYMBOL.sub("0", bare)
    return (
        "_" not in rest
        and all(len(each) == 1 or each in INNER for each in WORD.findall(rest))
        and (bare not in ("a", "A", "I") or depth > 0)
    )


def _apart(text: str) -> tuple[str, str, str]:
    """Return a formula and the brackets and marks around it that are the sentence's."""
    before, after = "", ""
    while True:
        if text and text[-1] in ",.;:":
            text, after = text[:-1], text[-1] + after
        elif text.startswith("(") and text.count("(") > text.count(")"):
            text, before = text[1:], before + "("
        elif re.fullmatch(r"\([^()]*\)", text):
            text, before, after = text[1:-1], before + "(", ")" + after
        elif text.endswith(")") and text.count(")") > text.count("("):
            text, after = text[:-1], ")" + after
        else:
            return before, text, after


def _is_formula(text: str) -> bool:
    balanced = not _without_groups(re.sub(r"[^()\[\]{}]", "", text)) and text.count("|") % 2 == 0
    whole = not re.match(r"[+*/=<>^)]", text) and not re.search(r"[-+*/=<>^(|]$|(?<![|])\s-$", text.strip("|"))
    known = re.search(r"[A-Za-z]", text) and not re.search(r"^\|\||=\s*<|^[\d.]+e-?\d+$|^\(.*\)$", text)
    return bool(balanced and whole and known and CERTAIN.search(text))


def _without_groups(brackets: str) -> str:
    """Return what is left of a row of brackets when pairs are taken out: nothing where they are nested well."""
    shorter = re.sub(r"\(\)|\[\]|\{\}", "", brackets)
    return shorter if shorter == brackets else _without_groups(shorter)


def _escaped(text: str) -> str:
    return re.sub(r"(?<=\w)_(?=\w)", r"\\_", text).replace("<", "&lt;").replace("*", "&#42;") if text else text


def mathml(formula: str) -> str:
    """Return a formula as MathML; the plain text is its description for who cannot see it."""
    row, _ = _row(TOKEN.findall(re.sub(r"\s+", " ", formula)), 0, "")
    return f'<span class="formula"><math aria-label="{escape(formula)}">{row}</math></span>'


def _row(tokens: list[str], position: int, closing: str) -> tuple[str, int]:
    """Return the MathML of tokens up to a closing bracket, and where it ends."""
    done: list[str] = []
    while position < len(tokens) and tokens[position] != closing:
        if tokens[position] == " ":
            position += 1
            if position < len(tokens) and done and _multiplies(tokens, position):
                done.append('<mspace width="0.2em"/>')
            continue
        element, position = _element(tokens, position)
        done.append(element)
    return f"<mrow>{''.join(done)}</mrow>", position + 1


def _multiplies(tokens: list[str], position: int) -> bool:
    """Tell whether two things stand side by side here, with no operator between them."""
    before, after = tokens[position - 2], tokens[position]
    return (before[-1].isalnum() or before in ")]}|") and (after[0].isalnum() or after in "([{|")


def _element(tokens: list[str], position: int) -> tuple[str, int]:
    """Return one thing with what is raised and lowered at it, and where it ends."""
    base, position = _base(tokens, position)
    lowered = raised = ""
    while position + 1 < len(tokens) and tokens[position] in "_^":
        mark = tokens[position]
        script, position = _script(tokens, position + 1)
        lowered, raised = (script, raised) if mark == "_" else (lowered, script)
    if lowered and raised:
        return f"<msubsup>{base}{lowered}{raised}</msubsup>", position
    if lowered or raised:
        return (f"<msub>{base}{lowered}</msub>" if lowered else f"<msup>{base}{raised}</msup>"), position
    return base, position


def _base(tokens: list[str], position: int) -> tuple[str, int]:
    token = tokens[position]
    if token == "sqrt" and tokens[position + 1 : position + 2] == ["("]:
        inside, position = _row(tokens, position + 2, ")")
        return f"<msqrt>{inside}</msqrt>", position
    if token in ("(", "[", "{"):
        closing = {"(": ")", "[": "]", "{": "}"}[token]
        inside, position = _row(tokens, position + 1, closing)
        return f"<mrow><mo>{token}</mo>{inside}<mo>{closing}</mo></mrow>", position
    return _atom(token), position + 1


def _script(tokens: list[str], position: int) -> tuple[str, int]:
    """Return what is raised or lowered: an atom, a signed one, or a group without its brackets."""
    token = tokens[position]
    if token in ("(", "{"):
        return _row(tokens, position + 1, ")" if token == "(" else "}")
    if token == "-" and position + 1 < len(tokens):
        return f"<mrow><mo>−</mo>{_atom(tokens[position + 1])}</mrow>", position + 2
    return _atom(token), position + 1


def _atom(token: str) -> str:
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token[0].isalpha() and token not in OPERATORS:
        if token in GREEK:
            return f"<mi>{GREEK[token]}</mi>"
        if re.fullmatch(r"d[a-z]", token):
            return f"<mrow><mi>d</mi><mi>{token[1]}</mi></mrow>"
        return f"<mi>{token}</mi>"
    return f"<mo>{escape(OPERATORS.get(token, token))}</mo>"
