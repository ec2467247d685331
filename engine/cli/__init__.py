"""The command ``docket``: Docker's command line, commands, flags, columns, words and exit statuses.

Vocabulary: a *command* is what is typed (``ps``, ``container ls``), declared with its *flags* next to the function that
runs it, a few related ones a module; a *session* is one run of the program (which engine, where its folders are); a
*row* is what a table or a template shows of one object.

Imports the client (and the version of the engine), nothing below. Only the module of the typed command is imported,
and from the standard library only what starts quickly: no argparse, json, socket, re or datetime on the path of
``docket ps``. Flags follow Docker's rules (pflag), which argparse can't be taught: ``-it``, ``-m=64m``, ``--rm=false``,
no abbreviations, flags after IMAGE belong to the container's command.
"""
