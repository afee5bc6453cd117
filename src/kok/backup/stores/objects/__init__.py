"""A store in a bucket of S3, by obstore: a trial."""
