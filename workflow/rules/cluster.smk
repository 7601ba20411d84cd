"""What jobs ask a cluster for, and whether it has that."""

from iphasenet.planning.cluster import Request, check_requests, offered_nodes, read_site


def raised(value):
    """A resource that a job asks for, as many times as it has been started."""
    return lambda wildcards, attempt: attempt * value


def raised_minutes(minutes, gpus=0):
    """Run time, as `raised`, up to the longest that the cluster's partitions have."""

    def of_attempt(wildcards, attempt):
        if not site():
            return attempt * minutes
        return site().raised_minutes(minutes, attempt, gpus)

    return of_attempt


# Every job asks for it, several times.
@cache
def site():
    """Settings of the cluster that jobs go to; none where they do not go to one."""
    path = getattr(workflow.executor_settings, "partition_config", None)
    return read_site(path) if path else None


def gpu_type(gpus):
    """The site's type of GPU, for jobs that ask for some."""
    return lambda wildcards: site().gpu_type if gpus and site() else ""


def training_machines():
    """Nodes and GPUs that the training asks for."""
    nodes, gpus = JOBS["training_nodes"], JOBS["training_gpus"]
    if nodes == 1:
        return {"nodes": 1, "gpu": gpus, "gpu_model": gpu_type(gpus)}
    # `mpi` lets the job start its tasks itself, one a node. Slurm would share `gpu` between the nodes as it likes; `gres`
    # is of each.
    request = {"nodes": nodes, "tasks": nodes, "tasks_per_gpu": 0, "mpi": "srun"}
    return request | ({"gres": gpus_of_a_node} if gpus else {})


def gpus_of_a_node(wildcards):
    names = ("gpu", gpu_type(1)(wildcards), str(JOBS["training_gpus"]))
    return ":".join(filter(None, names))


def training_launcher():
    """Starts one launcher of processes on each machine."""
    nodes = JOBS["training_nodes"]
    if nodes == 1:
        return ""
    return (
        f"srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 --kill-on-bad-exit=1 "
        f"--cpus-per-task={JOBS['training_threads']} "
    )


def request_of(job):
    """What a job or group asks Slurm for."""
    resources = job.resources
    gpus = resources.get("gpu") or str(resources.get("gres", ":0")).split(":")[-1]
    return Request(
        job.name,
        resources.get("nodes", 1),
        resources.get("runtime", 0),
        resources.get("cpus_per_task") or job.threads,
        resources.get("mem_mb", 0),
        int(gpus),
    )


def check_cluster(jobs):
    """Refuse what the cluster cannot do: some of it Slurm would let wait for ever."""
    submitted = {
        workflow.dag.get_job_group(job) or job for job in jobs if not job.is_local
    }
    requests = sorted(map(request_of, submitted), key=lambda request: request.job)
    check_requests(requests, site().partitions, offered_nodes())
