"""Who may have how much, and who said so."""
