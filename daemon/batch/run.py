"""Run a batch: inputs, model, workers, then every part, and the manifest last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...registry import Registry, RegistryError, bundled
from ...simcore.text.splitting import LOOKUP_FILE
from ..errors import BatchError, ServedModelError
from ..models import served as models
from . import stores
from .cluster import Call, WorkersDied, carry_out, connected
from .manifest import NAME, InputState, manifest, total
from .stores import Store
from .work import BatchInput, Failure, PackedModel, Partition, answer, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..models.served import ServedModel
    from .parts import InputPart, Preamble
    from .settings import BatchSettings

OURS: Final = re.compile(r"part-\d{5,}\.(jsonl|parquet|summary\.json)|\.part-.*\.tmp")
"""What a batch leaves in an input's folder."""


@dataclass(kw_only=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Attributes
    ----------
    inputs, inputs_done
        All, and those that are answered or have failed.
    parts, parts_done
        As far as they are known; done by this run or before.
    reused
        Parts that were done before.
    questions
        In the parts that are done.

    """

    inputs: int
    inputs_done: int = 0
    parts: int = 0
    parts_done: int = 0
    reused: int = 0
    questions: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchOutcome:
    """What a batch came to.

    Attributes
    ----------
    manifest
        Where it is.
    progress
        The counts.
    questions_ok, questions_failed
        Of all inputs that did not fail.
    failures
        Inputs without a result, and why.

    """

    manifest: str
    progress: BatchProgress
    questions_ok: int
    questions_failed: int
    failures: Sequence[tuple[str, Failure]]


def run(settings: BatchSettings, show: Callable[[BatchProgress], None]) -> BatchOutcome:
    """Answer all inputs; what was finished by an earlier run is not answered again.

    Parameters
    ----------
    settings
        See `BatchSettings`.
    show
        Told now and then how far it is.

    Raises
    ------
    DaemonError
        It cannot be begun, or not go on; there is no manifest then, and the next run takes up what is finished.

    """
    sources = [BatchInput.of(url) for url in stores.expand(settings.inputs)]
    packed, served = _load(settings)
    store = Store.make(settings.out)
    for source in sources:
        if source.url.startswith(f"{store.url}/"):
            raise BatchError(f"{source.url}: an input in the folder of the results")
    inputs = [InputState(source=source) for source in sources]
    with connected(settings.scheduler, workers=settings.workers) as client:
        store.remove(NAME)
        model = client.submit(PackedModel, pin=packed.pin, files=packed.files, pure=False)
        batch = _Batch(settings, model, store, BatchProgress(inputs=len(inputs)), show)
        carry_out(client, [batch.scan(each) for each in inputs], batch.then)
    for each in inputs:
        _tidy(store, each)
    labels, cores = served.classifier.labels, served.classifier.cores
    data = manifest(inputs, pin=packed.pin, cores=cores, labels=labels)
    store.write(NAME, lambda out: out.write(data))
    tally = total(inputs, labels)
    return BatchOutcome(
        manifest=f"{settings.out.rstrip('/')}/{NAME}",
        progress=batch.progress,
        questions_ok=tally.ok,
        questions_failed=tally.failed,
        failures=[(each.source.url, each.failure) for each in inputs if each.failure is not None],
    )


class _Batch:
    """What follows from what: a scan gives parts, and the last part ends an input."""

    def __init__(
        self,
        settings: BatchSettings,
        model: Any,
        store: Store,
        progress: BatchProgress,
        show: Callable[[BatchProgress], None],
    ) -> None:
        self._settings = settings
        self._model = model
        self._store = store
        self._show = show
        self.progress = progress

    def scan(self, each: InputState) -> Call:
        """Look at an input."""
        return Call(about=each, work=scan, arguments=(each.source, self._settings.part_bytes))

    def then(self, call: Call, result: Any) -> Iterable[Call]:
        """Note a result; give the calls that it makes possible."""
        each: InputState = call.about
        was_done = self._done(each)
        calls: list[Call] = []
        if isinstance(result, BaseException):
            result = _failure(result)
        if isinstance(result, Failure):
            each.failure = each.failure or result
        elif isinstance(result, Partition):
            each.partitions[result.facts["part"]] = result.facts
            self.progress.parts_done += 1
            self.progress.reused += result.reused
            self.progress.questions += result.facts["questions"]
        else:
            each.scan = result
            self.progress.parts += each.parts
            calls = [self._answer(each, result.head, part) for part in result.parts]
        self.progress.inputs_done += self._done(each) and not was_done
        self._show(self.progress)
        return calls

    def _answer(self, each: InputState, head: Preamble, part: InputPart) -> Call:
        return Call(
            about=each,
            work=answer,
            arguments=(self._model, each.source, head, part),
            options={"store": self._store, "force": self._settings.force},
        )

    @staticmethod
    def _done(each: InputState) -> bool:
        if each.failure is not None:
            return True
        return each.scan is not None and len(each.partitions) == each.parts


def _failure(fault: BaseException) -> Failure:
    """Say why an input has no result; what the results' store refuses ends the batch."""
    if isinstance(fault, WorkersDied):
        return Failure(
            code="poison", message="it ended every worker that took it up, alone as well"
        )
    if isinstance(fault, OSError):
        return Failure(code="unreadable", message=f"{fault.strerror or fault}")
    if isinstance(fault, BatchError):
        raise fault
    raise BatchError(f"a worker failed: {type(fault).__name__}: {' '.join(str(fault).split())}")


def _load(settings: BatchSettings) -> tuple[PackedModel, ServedModel]:
    served = models.ModelSource(settings.registry, settings.model).load()
    root = Path(bundled()) if settings.registry is None else settings.registry
    try:
        files = Registry(root).load(served.pin, names=models.FILES, optional=(LOOKUP_FILE,)).files
    except (RegistryError, OSError) as e:
        raise ServedModelError(f"model {settings.model}: {e}") from e
    return PackedModel(pin=served.pin, files=dict(files)), served


def _tidy(store: Store, each: InputState) -> None:
    """Remove what earlier runs left of an input: parts that it no longer has, files of workers that died."""
    kept = set()
    for number in range(each.parts):
        kept |= {each.source.partition(number), each.source.summary(number)}
    for name in store.listing(each.source.folder):
        if OURS.fullmatch(name) and f"{each.source.folder}/{name}" not in kept:
            store.remove(f"{each.source.folder}/{name}")
