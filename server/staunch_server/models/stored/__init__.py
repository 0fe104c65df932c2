"""What a server knows of the store: what aliases point at, how versions come from the disk, what names mean.

Whatever touches the disk here runs in `loading.DiskThreads`, apart from what computes.
"""
