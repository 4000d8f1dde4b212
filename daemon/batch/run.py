"""Run a batch: find the inputs, load the model, connect to workers, answer every part, and write the manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...registry import Registry, RegistryError, bundled
from ...simcore.classifier import NEEDED
from ...simcore.text.splitting import LOOKUP_FILE
from ..errors import AnswerError, BatchError, ServedModelError
from ..models import served as models
from . import stores
from .cluster import Call, WorkersDied, connected, make_calls
from .manifest import NAME, InputState, manifest, total
from .stores import Store
from .work import BatchInput, Failure, PackedModel, Partition, answer, scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ...simcore.question_files import ReadOptions
    from ..models.served import ServedModel
    from .parts import InputPart, Preamble
    from .settings import BatchSettings

_OURS: Final = re.compile(r"part-\d{5,}\.(jsonl|parquet|summary\.json)|\.part-.*\.tmp")
"""Names of the files that a batch creates in an input's folder."""


@dataclass(kw_only=True, slots=True)
class BatchProgress:
    """The progress of a batch.

    Attributes
    ----------
    inputs, inputs_done
        Number of all inputs, and of those that were answered or failed.
    parts, parts_done
        Number of known parts, and of those that this run or an earlier one finished.
    reused
        Number of parts that an earlier run finished.
    questions
        Number of questions in finished parts.

    """

    inputs: int
    inputs_done: int = 0
    parts: int = 0
    parts_done: int = 0
    reused: int = 0
    questions: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchOutcome:
    """The outcome of a batch.

    Attributes
    ----------
    manifest
        Path or URL of the manifest.
    progress
        The final counts.
    questions_ok, questions_failed
        Number of questions with and without an answer, in inputs that did not fail.
    failures
        Inputs without a result, with the reason.

    """

    manifest: str
    progress: BatchProgress
    questions_ok: int
    questions_failed: int
    failures: Sequence[tuple[str, Failure]]


def run(settings: BatchSettings, show: Callable[[BatchProgress], None]) -> BatchOutcome:
    """Answer all inputs, except for the parts that an earlier run finished.

    Parameters
    ----------
    settings
        See `BatchSettings`.
    show
        Called with the progress after each result.

    Raises
    ------
    DaemonError
        The batch cannot start or continue.  There is no manifest then; the next run continues from the finished parts.

    """
    sources = [BatchInput.of(url) for url in stores.expand(settings.inputs)]
    packed, served = _load(settings)
    store = Store.make(settings.out)
    for source in sources:
        if source.url.startswith(f"{store.url}/"):
            raise BatchError(f"{source.url}: the input is in the folder for the results")
    inputs = [InputState(source=source) for source in sources]
    with connected(settings.scheduler, workers=settings.workers) as client:
        # A manifest states that the batch is complete, which it is not from here on.
        store.remove(NAME)
        # A future of the model, so that its files are sent to the cluster once instead of with every call.
        model = client.submit(PackedModel, pin=packed.pin, files=packed.files, pure=False)
        batch = _Batch(
            settings,
            settings.reading(served.classifier.labels),
            model,
            store,
            BatchProgress(inputs=len(inputs)),
            show,
        )
        make_calls(client, [batch.scan(each) for each in inputs], batch.then)
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
    """Turns results into further calls: a scan yields the parts of an input, and the last part completes it."""

    def __init__(
        self,
        settings: BatchSettings,
        options: ReadOptions,
        model: Any,
        store: Store,
        progress: BatchProgress,
        show: Callable[[BatchProgress], None],
    ) -> None:
        self._settings = settings
        self._options = options
        self._model = model
        self._store = store
        self._show = show
        self.progress = progress

    def scan(self, each: InputState) -> Call:
        """Return the call that scans an input."""
        arguments = (each.source, self._settings.part_bytes, self._options)
        return Call(about=each, work=scan, arguments=arguments)

    def then(self, call: Call, result: Any) -> Iterable[Call]:
        """Record a result, and return the calls that follow from it."""
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
        # Results of an input still arrive after it has failed; it is counted once.
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
    """Convert an exception to the failure of its input; re-raise errors of the results' store, which end the batch."""
    if isinstance(fault, WorkersDied):
        return Failure(code="poison", message="it killed every worker that tried it, even alone")
    if isinstance(fault, AnswerError):
        return Failure(code=fault.code, message=str(fault))
    if isinstance(fault, OSError):
        return Failure(code="unreadable", message=f"{fault.strerror or fault}")
    if isinstance(fault, BatchError):
        raise fault
    raise BatchError(f"a worker failed: {type(fault).__name__}: {' '.join(str(fault).split())}")


def _load(settings: BatchSettings) -> tuple[PackedModel, ServedModel]:
    served = models.ModelSource(settings.registry, settings.model).load()
    root = Path(bundled()) if settings.registry is None else settings.registry
    try:
        files = Registry(root).load(served.pin, names=NEEDED, optional=(LOOKUP_FILE,)).files
    except (RegistryError, OSError) as e:
        raise ServedModelError(f"model {settings.model}: {e}") from e
    return PackedModel(pin=served.pin, files=dict(files)), served


def _tidy(store: Store, each: InputState) -> None:
    """Remove files that earlier runs left for an input: parts that it no longer has, and files of dead workers."""
    kept = set()
    for number in range(each.parts):
        kept |= {each.source.partition(number), each.source.summary(number)}
    for name in store.listing(each.source.folder):
        if _OURS.fullmatch(name) and f"{each.source.folder}/{name}" not in kept:
            store.remove(f"{each.source.folder}/{name}")
