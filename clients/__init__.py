"""The user's side: kamaki and the calls it is made of. Talks HTTP only."""
