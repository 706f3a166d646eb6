"""A Ray cluster of several nodes on this machine, for test_ray: `python ray_cluster.py PORT NAME...` starts a head without
cores and a node of one core for each name, with a GPU by Ray's account where that begins with gpu, and prints its address. Lines on stdin: `add NAME`, `remove NAME`; their end ends it."""

from __future__ import annotations

import contextlib
import sys

from ray.cluster_utils import Cluster

STORE = 80 << 20


def main() -> None:
    head: dict[str, object] = {"num_cpus": 0, "include_dashboard": False}
    head |= {"object_store_memory": STORE}
    if port := int(sys.argv[1]):
        head["gcs_server_port"] = port
    with contextlib.redirect_stdout(sys.stderr):
        cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = {}

    def add(name: str) -> None:
        with contextlib.redirect_stdout(sys.stderr):
            nodes[name] = cluster.add_node(
                num_cpus=1,
                num_gpus=int(name.startswith("gpu")),
                object_store_memory=STORE,
                node_name=name,
            )

    for name in sys.argv[2:]:
        add(name)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        what, name = line.split()
        if what == "add":
            add(name)
        else:
            cluster.remove_node(nodes.pop(name), allow_graceful=False)
        print("done", flush=True)
    for node in (*nodes.values(), cluster.head_node):
        node.kill_all_processes(check_alive=False, allow_graceful=False)


if __name__ == "__main__":
    main()
