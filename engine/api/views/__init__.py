"""Docker's JSON for what the services know: pure functions, one module a noun.

Field names, order, types and defaults are Docker's; where Docker says null for nothing, so does a view.
"""
