"""How the builtin was made: tokenizer, network, training, export. Needs the extra `recipe`.

Nothing of it is needed at run time.
"""
