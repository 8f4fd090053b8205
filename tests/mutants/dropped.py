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
    """Replaces a statement in a function by `pass`; a docstring, and what only names a type, is
    none."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The place of the statement that this line is."""
        if node.type == "simple_stmt" and parso.tree.search_ancestor(node, "funcdef"):
            statement = node.children[0]
            if statement.type in LEFT_OUT and not _only_a_type(statement):
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
