"""Who may come in: tokens, browser sessions, the guard at the door, and the record of what admins did."""
