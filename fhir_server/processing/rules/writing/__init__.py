"""Summaries and notes made of what the sources say, word for word."""
