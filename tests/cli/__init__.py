"""The client and the command line: their pure pieces, and both against a scripted engine or a real Docker."""
