"""Components: software of hosts, rendered for one Machine each."""
