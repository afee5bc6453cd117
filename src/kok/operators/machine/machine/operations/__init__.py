"""What is done for a Machine, each as a value with one call: steps at its host, and its removal."""
