"""Measurements: one file per question, ours and a peer side by side in one run, as ratios."""
