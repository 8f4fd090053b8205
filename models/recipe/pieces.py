"""Text in which the tool tags are tokens of their own, as the node gives it to the engine."""

from __future__ import annotations

import re

from tokenizers import Tokenizer

from models.recipe.tokens import WRITTEN

_TAGS = re.compile("(" + "|".join(re.escape(tag) for tag in WRITTEN) + ")")


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens of a text, its tags one token each; what is between them is cut by itself."""
    ids: list[int] = []
    for part in _TAGS.split(text):
        if part in WRITTEN:
            ids.append(tokenizer.token_to_id(part))
        elif part:
            ids += tokenizer.encode(part, add_special_tokens=False).ids
    return ids
