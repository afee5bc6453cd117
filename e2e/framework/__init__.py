"""What every scenario stands on: an installed KOK, a client, waiting, a report."""
