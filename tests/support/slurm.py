"""A real Slurm cluster whose only node is this machine. It is started for one test, with its own configuration.

It needs Debian's package slurm-wlm (20.11 or newer), but no munge, accounting or other service. Any user can run it.
"""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

# cred_expire: seconds until a requeued job starts again; Slurm's default is two minutes.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
AuthInfo=cred_expire=5
{credentials}
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=1,sched_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
ReturnToService=2
KillWait=30
MaxArraySize={longest_array}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=node Default=YES MaxTime=120 State=UP
PartitionName=short Nodes=node MaxTime=2 State=UP
"""
NEEDED = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
# Folders of daemons, which are not in every user's PATH.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Slurm:
    """A Slurm cluster; `cluster` starts and stops it.

    Attributes:
      environment: variables with which Slurm commands find this cluster.
    """

    def __init__(self, folder: pathlib.Path, longest_array: int):
        missing = [name for name in NEEDED if shutil.which(name, path=PATH) is None]
        assert not missing, f"{', '.join(missing)} not found: install slurm-wlm (apt-get install slurm-wlm)"
        self._folder, self._daemons = folder, []
        self._file = folder / "slurm.conf"
        for name in ("state", "spool"):
            (folder / name).mkdir()
        self._file.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                ports=_free_ports(2),
                user=getpass.getuser(),
                credentials=_credentials(),
                folder=folder,
                cpus=len(os.sched_getaffinity(0)),
                longest_array=longest_array,
            )
        )
        self.environment = {"SLURM_CONF": str(self._file), "PATH": PATH}

    def call(self, *command: str) -> str:
        """Run a Slurm command; return its output."""
        environment = {**os.environ, **self.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", "node"]):
            with open(self._folder / f"{command[0]}.out", "wb") as out:
                environment = {**os.environ, **self.environment}
                process = subprocess.Popen(
                    [shutil.which(command[0], path=PATH), *command[1:]],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._daemons.append(process)
        for _ in range(240):
            dead = [p.args for p in self._daemons if p.poll() is not None]
            assert not dead, f"{dead} ended: {self.logs()}"
            with contextlib.suppress(AssertionError):
                if "idle" in self.call("sinfo", "-h", "-o", "%T"):
                    return
            time.sleep(0.25)
        raise AssertionError(f"Slurm is not up after a minute: {self.logs()}")

    def stop(self) -> None:
        """Cancel all jobs and end the daemons."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.call("scancel", "--user", getpass.getuser())
            for _ in range(200):
                if not self.call("squeue", "-h"):
                    break
                time.sleep(0.2)
        for process in reversed(self._daemons):
            process.terminate()
        for process in self._daemons:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """Ids of all processes whose environment names the configuration of this cluster."""
        mark = f"SLURM_CONF={self._file}".encode()
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def logs(self) -> str:
        """The last lines of the logs and of the output of the daemons."""
        texts = []
        for path in sorted([*self._folder.glob("*.log"), *self._folder.glob("*.out")]):
            texts.append(f"== {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:]))
        return "\n".join(texts)


@contextlib.contextmanager
def cluster(folder: pathlib.Path, longest_array: int = 1001):
    """Run a `Slurm` with its files in `folder`; `longest_array` is its MaxArraySize."""
    slurm = Slurm(folder, longest_array)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def _credentials() -> str:
    """The setting for authentication without munge; its name depends on the version of Slurm."""
    version = subprocess.run(
        [shutil.which("slurmctld", path=PATH), "-V"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    major, minor = (int(part) for part in version.split(".")[:2])
    return "CredType=cred/none" if (major, minor) >= (21, 8) else "CryptoType=crypto/none"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
