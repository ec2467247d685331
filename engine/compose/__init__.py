"""``docket compose``: from compose files to a project, and from a project to containers, as a client of the API.

``loader`` turns compose files into the canonical model of ``project.Project`` and touches nothing but files: the parts
in ``reading`` read them, ``model`` says what the elements are and what must fit together, ``printing`` writes them out.
"""
