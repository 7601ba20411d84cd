"""A real Slurm on this machine, for tests: on loopback, without systemd, gone when its context ends.

python -m tests.slurm.cluster -- COMMAND runs a command in one.
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
SETTINGS = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
NODES = ("iphasenet1", "iphasenet2")
GPUS = 2
"""Of each node: devices that do nothing."""

NULL = os.makedev(1, 3)

Daemon = subprocess.Popen[bytes]


def reason_against() -> str:
    """Why no Slurm can be set up here; empty where it can."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "needs root on Linux"
    if any((SETTINGS / name).exists() for name in FILES):
        return f"a Slurm is configured in {SETTINGS} already"
    if missing_programs() and shutil.which("apt-get") is None:
        return f"needs {', '.join(missing_programs())}, or apt-get to install them"
    device = Path(f"/dev/iphasenet-probe-{os.getpid()}")
    try:
        os.mknod(device, 0o20666, NULL)
    except OSError as error:
        return f"cannot make devices: {error.strerror}"
    device.unlink()
    return ""


def missing_programs() -> list[str]:
    """Programs of Slurm that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def install() -> str:
    """Install what is missing with apt-get, without starting it; says why that failed, or nothing."""
    if not missing_programs():
        return ""
    print(f"installing {', '.join(PACKAGES)} with apt-get (3 MB); apt-get remove takes them away", flush=True)
    with _no_services():
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for attempt in (command, ["apt-get", "update", "--quiet"], command):
            result = subprocess.run(attempt, env=environment, capture_output=True, text=True, timeout=300)
            if result.returncode == 0 and attempt is command:
                return ""
    return f"apt-get cannot install {', '.join(PACKAGES)}: {' '.join(result.stderr.split())[-300:]}"


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian starts the services of new packages, unless this file says no."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


@dataclass(frozen=True)
class Slurm:
    """
    A running Slurm.

    Attributes
    ----------
    folder : path
        Its configuration, state and logs.
    """

    folder: Path

    def __call__(self, *command: str) -> str:
        """Run one of its commands; stdout."""
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {result.stderr}")
        return result.stdout

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """Jobs in some states, the oldest first: id, state, comment (Snakemake's rule), number of restarts."""
        lines = self(
            "squeue", "--noheader", f"--states={states}", "--sort=i", "--Format=JobID:|,State:|,Comment:|,RestartCnt:|"
        )
        names = ("id", "state", "comment", "restarts")
        return [dict(zip(names, map(str.strip, line.split("|")), strict=False)) for line in lines.splitlines()]

    def logs(self) -> str:
        """Ends of the daemons' logs."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.log")))


@contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """
    Start munged, slurmctld and two slurmd, and end them with all their jobs.

    Parameters
    ----------
    folder : path
        New folder for its files, in one that only root can write to.

    Yields
    ------
    Slurm
        Partition `cpu` has one node, `gpu` has it and a second one, each of 2 cores and 2 GPUs that do nothing.
    """
    folder.mkdir(parents=True)
    slurm = Slurm(folder)
    daemons: list[Daemon] = []
    with _resolving(), _devices() as devices, _configured(folder, devices):
        try:
            daemons.append(_munged(folder))
            _wait(lambda: (folder / "munge.socket").exists(), slurm, daemons)
            for command in (["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-N", name] for name in NODES)):
                daemons.append(_start(command, folder))
            _wait(lambda: _idle(slurm), slurm, daemons)
            yield slurm
            slurm("scancel", "--user=root", "--full")
            _wait(lambda: not slurm.jobs("running,completing,pending,suspended"), slurm, daemons)
        finally:
            for daemon in reversed(daemons):
                _end(daemon)


@contextmanager
def _devices() -> Iterator[list[Path]]:
    """Devices that do nothing."""
    devices = [Path(f"/dev/iphasenet-gpu-{os.getpid()}-{number}") for number in range(GPUS)]
    try:
        for device in devices:
            os.mknod(device, 0o20666, NULL)
        yield devices
    finally:
        for device in devices:
            device.unlink(missing_ok=True)


def _end(daemon: Daemon) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


@contextmanager
def _configured(folder: Path, devices: list[Path]) -> Iterator[None]:
    """Write Slurm's files, and let /etc/slurm point to them: what Snakemake runs in a job has lost $SLURM_CONF."""
    ports = _free_ports(3)
    freezer = Path("/sys/fs/cgroup/freezer")
    text = (
        Path(__file__)
        .with_name("slurm.conf")
        .read_text()
        .format(
            host=socket.gethostname(),
            nodes=NODES,
            folder=folder,
            controller=ports[0],
            first=ports[1],
            second=ports[2],
            # Without a freezer, processes that ignore SIGTERM are only found by their process group.
            tracking="cgroup" if freezer.is_dir() and os.access(freezer, os.W_OK) else "pgid",
            gpus=len(devices),
        )
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("AutoDetect=off\n" + "".join(f"Name=gpu File={device}\n" for device in devices))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    (folder / "state").mkdir()
    links = [SETTINGS / name for name in FILES]
    try:
        SETTINGS.mkdir(exist_ok=True)
        for link in links:
            # What a killed run left points to nothing.
            link.unlink(missing_ok=True)
            link.symlink_to(folder / link.name)
        yield
    finally:
        for link in links:
            link.unlink(missing_ok=True)


@contextmanager
def _resolving() -> Iterator[None]:
    """Let the nodes' names mean this machine: jobs of several nodes meet at the first one's."""
    hosts, line = Path("/etc/hosts"), f"127.0.0.1 {' '.join(NODES)}\n"
    with hosts.open("a") as stream:
        stream.write(line)
    try:
        yield
    finally:
        hosts.write_text(hosts.read_text().replace(line, "", 1))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _munged(folder: Path) -> Daemon:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge.{ending}" for option, ending in files.items()]
    return _start(["munged", "--foreground", "--force", f"--key-file={key}", *options], folder)


def _start(command: list[str], folder: Path) -> Daemon:
    """Start a daemon in a session of its own, so that a keyboard's interrupt does not reach it."""
    with (folder / f"{Path(command[0]).name}.out").open("ab") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)


def _idle(slurm: Slurm) -> bool:
    with suppress(RuntimeError):
        return set(slurm("sinfo", "--noheader", "--Node", "--format=%T").split()) == {"idle"}
    return False


def _wait(condition: Callable[[], bool], slurm: Slurm, daemons: list[Daemon], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        ended = [daemon.args for daemon in daemons if daemon.poll() is not None]
        if ended or time.monotonic() > end:
            raise RuntimeError(f"Slurm: not ready after {seconds} s, or ended: {ended}\n{slurm.logs()}")
        time.sleep(0.1)


def main() -> int:
    """Run a command in a Slurm of its own."""
    reason = reason_against() or install()
    if reason:
        sys.exit(f"Slurm: {reason}")
    folder = Path(f"/var/tmp/iphasenet-slurm-{os.getpid()}")
    try:
        with running_slurm(folder):
            return subprocess.run(sys.argv[2:]).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
