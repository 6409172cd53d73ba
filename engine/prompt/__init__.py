"""Prompts: a text, a chat or token ids become ids with a role and a place in the text for each."""
