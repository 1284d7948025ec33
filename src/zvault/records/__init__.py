"""What an entry inside the barrier looks like; pure codecs."""
