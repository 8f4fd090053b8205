"""A mutation that cosmic-ray does not have: a statement is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import parso.python.tree
import parso.tree
from cosmic_ray.operators.operator import Example, Operator

LEFT_OUT = ("expr_stmt", "atom_expr", "return_stmt", "raise_stmt", "del_stmt", "power")
"""parso's names of what is replaced by `pass` where it stands alone on its line."""


class DropStatement(Operator):
    """Replaces a statement in a function by `pass`; a docstring, what only names a type, and the
    `return None` that a function would end with anyway are none."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The place of the statement that this line is."""
        if node.type == "simple_stmt" and parso.tree.search_ancestor(node, "funcdef"):
            statement = node.children[0]
            if statement.type in LEFT_OUT and not (_only_a_type(statement) or _ends_anyway(node)):
                yield statement.start_pos, statement.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The line with `pass` on it."""
        old = node.children[0]
        prefix = old.get_first_leaf().prefix
        node.children[0] = parso.python.tree.Keyword("pass", old.start_pos, prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """As cosmic-ray wants them."""
        return (Example("x = 1\n", "pass\n"),)


def _only_a_type(statement: Any) -> bool:
    children = statement.children
    annotated = len(children) > 1 and children[1].type == "annassign"
    return annotated and len(children[1].children) == 2


def _ends_anyway(line: Any) -> bool:
    """Whether it returns None where nothing would follow."""
    if line.children[0].get_code(include_prefix=False) != "return None":
        return False
    node = line
    while node.parent.type in ("suite", "if_stmt", "with_stmt"):
        if node.parent.type == "suite" and node is not node.parent.children[-1]:
            return False
        node = node.parent
    return bool(node.parent.type == "funcdef")
