"""Hundreds of Clusters of which nothing runs: the operator and its API server are real, all else stands in.

meta        etcd and kube-apiserver as bare processes
operator    the cluster operator as a process of its own
stand-ins   one more process, for what a bare API server lacks and for the APIs of all Clusters
"""
