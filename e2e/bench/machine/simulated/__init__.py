"""A thousand hosts that are an SSH server in one process: the operator and its API server are real.

meta        etcd and kube-apiserver as bare processes
operator    the machine operator as a process of its own
hosts       one more process, which answers its scripts as hosts would, each at an address of its own
"""
