"""A zoo of plugins that misbehave, each in one way, and what must be said of it.

`REASONS` has a pattern for the reason of each that fails, `LEFT` what each leaves changed. What is
in neither harms nobody.
"""

import atexit
import ctypes
import faulthandler
import gc
import math
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from dmlbench import Backbone, Loss, Pairs, Sampler, Selection, as_pair_mask, masked_mean

REASONS: dict[str, str] = {}
LEFT: dict[str, tuple[str, ...]] = {}
NO_LOSS = " returned no scalar with a gradient: "
HERE = r"\(bad_plugins\.py:\d+, in "


def says(reason="", *left):
    """Note what must be said of a class."""

    def note(cls):
        if reason:
            REASONS[cls.__name__] = reason
        if left:
            LEFT[cls.__name__] = left
        return cls

    return note


class Bad(Loss):
    """Pulls positives together and pushes negatives apart; at its second step it misbehaves."""

    takes = "pairs"
    default_miner = "all-pairs"

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, pairs: Pairs, selection: Selection | None) -> Tensor:
        chosen = as_pair_mask(selection, pairs)
        value = masked_mean(pairs.similarity, chosen.negative)
        value = value - masked_mean(pairs.similarity, chosen.positive)
        self.steps += 1
        if self.steps != 2:
            return value
        instead = self.misbehave(value, pairs)
        return value if instead is None else instead


# Those that raise


@says(rf"KeyError: 'forward' {HERE}misbehave\)$")
class Raises(Bad):
    def misbehave(self, value, pairs):
        return {}["forward"]


@says(rf"SystemExit: 7 {HERE}misbehave\)$")
class Exits(Bad):
    def misbehave(self, value, pairs):
        sys.exit(7)


class OwnBase(BaseException):
    pass


@says(rf"OwnBase: of my own {HERE}misbehave\)$")
class RaisesBaseException(Bad):
    def misbehave(self, value, pairs):
        raise OwnBase("of my own")


@says(rf"KeyboardInterrupt {HERE}misbehave\)$")
class RaisesKeyboardInterrupt(Bad):
    def misbehave(self, value, pairs):
        raise KeyboardInterrupt


@says(rf"GeneratorExit {HERE}misbehave\)$")
class RaisesGeneratorExit(Bad):
    def misbehave(self, value, pairs):
        raise GeneratorExit


@says(rf"StopIteration: 3 {HERE}misbehave\)$")
class RaisesStopIteration(Bad):
    def misbehave(self, value, pairs):
        raise StopIteration(3)


class UnspeakableError(Exception):
    def __str__(self):
        raise OwnBase

    __repr__ = __str__


@says(rf"UnspeakableError: \(its text can't be had: OwnBase\) {HERE}misbehave\)$")
class TextRaises(Bad):
    def misbehave(self, value, pairs):
        raise UnspeakableError


class NumericError(Exception):
    def __str__(self):
        return 7  # noqa: PLE0307 - which is no text


@says(rf"NumericError: \(its text can't be had: TypeError\) {HERE}misbehave\)$")
class TextIsNoText(Bad):
    def misbehave(self, value, pairs):
        raise NumericError


class SlowError(Exception):
    def __str__(self):
        time.sleep(600)
        return "at last"


@says(
    rf"SlowError: \(its text could not be had in time\) {HERE}misbehave\)$",
    "running threads",
)
class TextSleeps(Bad):
    def misbehave(self, value, pairs):
        raise SlowError


@says(rf"ValueError: x{{100,1600}} … \([0-9,]+ left out\) … x{{100,600}} {HERE}misbehave\)$")
class TextIsHuge(Bad):
    def misbehave(self, value, pairs):
        raise ValueError("x" * 50_000_000)


@says(rf"ValueError: �\[2J � � {HERE}misbehave\)$")
class TextIsBinary(Bad):
    def misbehave(self, value, pairs):
        raise ValueError("\x1b[2J \0 \ud800")


@says(rf"n{{40,200}}.*: odd {HERE}misbehave\)$")
class NameIsOdd(Bad):
    def misbehave(self, value, pairs):
        raise type("n" * 100_000, (Exception,), {})("odd")


@says(rf"RecursionError: maximum recursion depth .* {HERE}misbehave\)$")
class Recurses(Bad):
    def misbehave(self, value, pairs):
        return self.misbehave(value, pairs)


@says(rf"MemoryError {HERE}misbehave\)$")
class AsksForTooMuchMemory(Bad):
    def misbehave(self, value, pairs):
        bytearray(1 << 60)


# Those that return what is no loss


@says("The loss became nan at epoch 1, step 2")
class IsNotANumber(Bad):
    def misbehave(self, value, pairs):
        return value * torch.nan


@says("The loss became inf at epoch 1, step 2")
class IsInfinite(Bad):
    def misbehave(self, value, pairs):
        return value * torch.inf


@says(NO_LOSS)
class HasAShape(Bad):
    def misbehave(self, value, pairs):
        return value.expand(3)


@says(NO_LOSS)
class IsAnInteger(Bad):
    def misbehave(self, value, pairs):
        return value.long()


@says("RuntimeError: grad can be implicitly created only for real scalar")
class IsComplex(Bad):
    def misbehave(self, value, pairs):
        return value * 1j


@says(NO_LOSS)
class IsText(Bad):
    def misbehave(self, value, pairs):
        return "0.5"


@says(NO_LOSS)
class IsAFloat(Bad):
    def misbehave(self, value, pairs):
        return 0.5


@says(NO_LOSS)
class HasNoGradient(Bad):
    def misbehave(self, value, pairs):
        return value.detach()


# Those that change what is not theirs, and what they change


class ZeroesTheLabels(Bad):
    def misbehave(self, value, pairs):
        pairs.labels.zero_()


class SeedsEverything(Bad):
    def misbehave(self, value, pairs):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)


class ClosesStandardOutput(Bad):
    def misbehave(self, value, pairs):
        os.close(os.dup(1))
        sys.stdout.flush()


class SleepsAtExit(Bad):
    def misbehave(self, value, pairs):
        atexit.register(time.sleep, 600)


class UsesAPool(Bad):
    """A pool of processes that is closed again, each way to start one."""

    def misbehave(self, value, pairs):
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert list(pool.map(abs, [-1, -2])) == [1, 2]


@says("RuntimeError: expected scalar type Half", "torch.get_default_dtype()")
class SetsTheDtype(Bad):
    def misbehave(self, value, pairs):
        torch.set_default_dtype(torch.float16)


@says("", "torch.get_default_device()")
class SetsTheDevice(Bad):
    def misbehave(self, value, pairs):
        torch.set_default_device("meta")


@says(NO_LOSS, "torch.is_grad_enabled()")
class TurnsGradientsOff(Bad):
    def misbehave(self, value, pairs):
        torch.set_grad_enabled(False)


@says("TypeError: Got unsupported ScalarType BFloat16", "torch.autocast")
class TurnsAutocastOn(Bad):
    def misbehave(self, value, pairs):
        torch.set_autocast_enabled("cpu", True)


@says("", "torch.is_anomaly_enabled()")
class DetectsAnomalies(Bad):
    def misbehave(self, value, pairs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.autograd.set_detect_anomaly(True)


@says("", "torch.backends.mkldnn.enabled")
class TurnsMkldnnOff(Bad):
    def misbehave(self, value, pairs):
        torch.backends.mkldnn.set_flags(False)


@says("", "torch.backends.cudnn.benchmark", "torch.backends.cudnn.allow_tf32")
class SetsCudnn(Bad):
    def misbehave(self, value, pairs):
        torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True


@says("", "torch.are_deterministic_algorithms_enabled()")
class TurnsDeterminismOff(Bad):
    def misbehave(self, value, pairs):
        torch.use_deterministic_algorithms(False)


@says("", "torch.set_flush_denormal()")
class FlushesDenormals(Bad):
    def misbehave(self, value, pairs):
        torch.set_flush_denormal(True)


@says("", "torch.get_num_threads()")
class TakesThreads(Bad):
    def misbehave(self, value, pairs):
        torch.set_num_threads(2)


@says("", "torch.get_float32_matmul_precision()")
class RoundsProducts(Bad):
    def misbehave(self, value, pairs):
        torch.set_float32_matmul_precision("medium")


@says("", "warnings.filters")
class MakesWarningsErrors(Bad):
    def misbehave(self, value, pairs):
        warnings.filterwarnings("error", "no such warning")


@says("", "numpy.geterr()")
class MakesNumpyRaise(Bad):
    def misbehave(self, value, pairs):
        np.seterr(under="raise")


@says("", "the current directory")
class ChangesDirectory(Bad):
    def misbehave(self, value, pairs):
        os.chdir(tempfile.gettempdir())


@says("", "os.environ")
class ClearsTheEnvironment(Bad):
    def misbehave(self, value, pairs):
        os.environ.clear()


@says("", "signal handlers")
class IgnoresSignals(Bad):
    def misbehave(self, value, pairs):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@says("", "blocked signals")
class BlocksSignals(Bad):
    def misbehave(self, value, pairs):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])


@says("", "timers")
class SetsATimer(Bad):
    def misbehave(self, value, pairs):
        signal.setitimer(signal.ITIMER_VIRTUAL, 600)


@says("", "resource limits")
class LimitsFiles(Bad):
    def misbehave(self, value, pairs):
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))


@says("", "the umask")
class SetsTheUmask(Bad):
    def misbehave(self, value, pairs):
        os.umask(0o777)


@says("", "the recursion limit")
class LimitsRecursion(Bad):
    def misbehave(self, value, pairs):
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)


@says("", "garbage collection")
class TurnsCollectionOff(Bad):
    def misbehave(self, value, pairs):
        gc.disable()


@says("", "dmlbench.trials.run_trial.score_retrieval")
class PatchesTheHarness(Bad):
    def misbehave(self, value, pairs):
        from dmlbench.trials import run_trial

        honest = run_trial.score_retrieval

        def perfect(*arguments, **named):
            outcome = honest(*arguments, **named)
            return outcome | {"metrics": dict.fromkeys(outcome["metrics"], 1.0)}

        run_trial.score_retrieval = perfect


@says("", "dmlbench.compute.determinism.seed_everything", "dmlbench.training.network.Recipe")
class PatchesSeeds(Bad):
    def misbehave(self, value, pairs):
        from dmlbench.compute import determinism
        from dmlbench.training import network

        determinism.seed_everything = lambda *key: None
        del network.Recipe


@says(
    "", "dmlbench.storage.record_store.Store.path", "dmlbench.storage.record_store.Store.__hash__"
)
class PatchesAClass(Bad):
    def misbehave(self, value, pairs):
        from dmlbench.storage.record_store import Store

        path = Store.path
        Store.path = lambda store, trial: path(store, trial).with_suffix(".lost")
        Store.__hash__ = lambda store: 3


@says("", "dmlbench.training.loop.len")
class HidesABuiltin(Bad):
    def misbehave(self, value, pairs):
        from dmlbench.training import loop

        loop.len = partial(len)


@says("", "torch.nn.functional.normalize", "torch.nn.init.kaiming_uniform_")
class PatchesTorch(Bad):
    def misbehave(self, value, pairs):
        nn.functional.normalize = lambda some, **more: some
        nn.init.kaiming_uniform_ = lambda some, **more: some


@says("", "torch.nn.modules.conv.Conv2d.forward")
class PatchesALayer(Bad):
    def misbehave(self, value, pairs):
        forward = nn.Conv2d.forward
        nn.Conv2d.forward = lambda layer, some: 2 * forward(layer, some)


@says("", "numpy.argsort", "numpy.random.default_rng")
class PatchesNumpy(Bad):
    def misbehave(self, value, pairs):
        np.argsort = lambda some, *more, **named: np.arange(len(some))
        np.random.default_rng = np.random.RandomState


@says("", "global hooks of torch.nn.Module")
class HooksEveryModule(Bad):
    def misbehave(self, value, pairs):
        nn.modules.module.register_module_forward_hook(lambda layer, given, made: 2 * made)


@says("", "running threads")
class LeavesAThread(Bad):
    def misbehave(self, value, pairs):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


@says("", "child processes")
class LeavesAProcess(Bad):
    def misbehave(self, value, pairs):
        for own in (False, True):
            subprocess.Popen(["sleep", "600.25"], start_new_session=own)


@says("", "memory")
class KeepsMemory(Bad):
    kept = []

    def misbehave(self, value, pairs):
        self.kept.append(np.ones(500 << 17))


# Those that end their process


@says("The worker process was killed by signal 11 ")
class Segfaults(Bad):
    def misbehave(self, value, pairs):
        faulthandler.disable()
        ctypes.string_at(0)


@says("The worker process was killed by signal 6 ")
class Aborts(Bad):
    def misbehave(self, value, pairs):
        os.abort()


@says("The worker process was killed by signal 9 .* may have run out of memory")
class KillsItself(Bad):
    def misbehave(self, value, pairs):
        os.kill(os.getpid(), signal.SIGKILL)


@says("The worker process was asked to end by SIGTERM")
class KillsItsGroup(Bad):
    def misbehave(self, value, pairs):
        os.kill(0, signal.SIGTERM)


@says("The worker process exited with code 0 in the middle of the trial")
class LeavesWithoutAWord(Bad):
    def misbehave(self, value, pairs):
        os._exit(0)


@says("The worker process lost its connection to the run .* closed files that are not its own")
class ClosesAllFiles(Bad):
    def misbehave(self, value, pairs):
        os.closerange(3, 1000)


@says("The worker process exited with code 5")
class LeavesAForkBehind(Bad):
    def misbehave(self, value, pairs):
        if os.fork() == 0:
            time.sleep(600)
        os._exit(5)


@says("", "child processes")
class ForksAndGoesOn(Bad):
    """Both processes go on with the trial; the child is the slower one."""

    def misbehave(self, value, pairs):
        if os.fork() == 0:
            os.fork()
            time.sleep(0.2)


# Those that never end


@says(r"It took longer than the limit of .* seconds \(--trial-timeout\)")
class Hangs(Bad):
    def misbehave(self, value, pairs):
        time.sleep(600)


@says(r"It took longer than the limit of .* seconds \(--trial-timeout\)")
class HangsOn(Bad):
    """Ignores what asks it to end."""

    def misbehave(self, value, pairs):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                continue


@says(r"It took longer than the limit of .* seconds \(--trial-timeout\)")
class StopsItself(Bad):
    def misbehave(self, value, pairs):
        os.kill(os.getpid(), signal.SIGSTOP)


@says(r"It took [0-9,]+ MiB of memory, more than the limit of 3,000 MiB \(--trial-memory\)")
class TakesMemory(Bad):
    """Lets a child of its own take it."""

    def misbehave(self, value, pairs):
        subprocess.run([sys.executable, "-c", "a = b'1' * (3 << 30); input()"], check=False)
        time.sleep(600)


# Of other kinds than losses


@says("ValueError: cannot set WRITEABLE flag")
class WritesToLabels(Sampler):
    """A sampler that makes the labels writable, which all trials share."""

    def batches(self, labels, *, batch_size, steps, rng):
        labels.setflags(write=True)
        labels[:] = 0
        yield from np.zeros((steps, batch_size), np.int64)


@says("must have the same dtype", "torch.get_default_dtype()")
class SetsTheDtypeWhenBuilt(Backbone):
    """A backbone that changes the process while it is built."""

    modality = "image"

    def build(self, shape):
        network = nn.Flatten()
        network.num_features = math.prod(shape)
        torch.set_default_dtype(torch.float64)
        return network


@says("", "numpy.mean")
class PatchesInFit:
    """A baseline that patches NumPy."""

    def fit(self, X, y):
        np.mean = lambda *arguments, **named: 0.0
        return self

    def transform(self, X):
        return X
