"""The commands, a module a group. What they do stands elsewhere, and is imported when it is done."""
