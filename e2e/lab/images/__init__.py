"""Images: root file systems, what is laid over them, and KOK's own."""
