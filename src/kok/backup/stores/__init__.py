"""Where backups lie: a directory of a volume, or a bucket of S3."""
