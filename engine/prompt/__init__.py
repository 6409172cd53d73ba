"""A prompt, a chat or ids made into token ids with roles."""
