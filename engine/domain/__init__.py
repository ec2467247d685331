"""What may happen: a pure state machine for each noun of the engine.

Vocabulary: a *command* asks for something (imperative); an *intent* is an event that announces an effect
which no rollback can undo (``ContainerStarting``); an *outcome* closes exactly one open intent
(``ContainerStarted`` or ``ContainerStartFailed``). ``decide(state, command)`` answers with the events to append,
``evolve(state, event)`` folds one event into the state. No input or output, no clock, no randomness:
whatever a machine needs to know arrives in the command. Everybody may import this package; it imports nothing
of the engine.
"""
