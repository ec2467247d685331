"""From files to documents in long form: YAML, variables, merging, ``extends`` and ``include``.

PyYAML is imported by ``documents`` alone.
"""
