"""What a project is in canonical form: its elements, the schema, what is implied, what must fit together."""
