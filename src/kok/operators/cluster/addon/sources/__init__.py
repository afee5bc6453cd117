"""Charts and artifacts from repositories: found once, fetched with limits, rendered aside."""
