"""From a project to containers: desired state against actual state, a plan, and its execution over the API.

    desired (the model) ─┐
                         ├─> planner ─> actions with their dependencies ─> executor ─> effects (API requests)
    actual (the labels) ─┘

Vocabulary: an *action* is one thing that is done to one container, network, volume or image; a *plan* is actions and
which of them need which; the *executor* runs what is ready side by side; an *effect* is what an action does over the
API. The planner is pure. Nothing is remembered between two commands but the labels: a plan that was cut off anywhere is
settled by the next one, which looks again.
"""
