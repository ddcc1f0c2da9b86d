"""Where a tenancy is placed, and how it is made."""
