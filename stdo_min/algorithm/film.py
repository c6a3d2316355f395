"""A whole film: surveys of some segments, the general model from them, then each segment, by whoever there is.

    survey some segments -> general model -> overfit every segment -> sidecar

What is finished is kept in a work folder, so a run that was killed goes on from there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stdo_min.algorithm.crew import Crew
from stdo_min.algorithm.fitted import Fitted, General
from stdo_min.algorithm.general import learned_from, share, train_general
from stdo_min.algorithm.price import Price
from stdo_min.algorithm.recipe import Recipe
from stdo_min.algorithm.sample import Sampled
from stdo_min.algorithm.tasks import (
    PLAIN,
    SegmentResult,
    SegmentTask,
    Surveyed,
    finish,
    fit,
    generator,
    load_survey,
    overfit_segment,
    survey,
    survey_file,
)
from stdo_min.engine.budget import TRAINING_AT_LEAST, Budget, Progress
from stdo_min.engine.net import Net, new_net
from stdo_min.engine.quantise import Parent
from stdo_min.format import netcode, sidecar
from stdo_min.format.plain_net import write_net
from stdo_min.format.psnr import psnr
from stdo_min.video.work import Work


@dataclass(frozen=True)
class Made:
    """A sidecar's bytes, and what it is worth: frames, nets, luma PSNR in dB as played and of the base alone.

    nets: of all segments together; one that several use counts for each. general: the general model's net, where
    segments share it.
    """

    data: bytes
    frames: int
    nets: int
    psnr_y: float
    psnr_bicubic_y: float
    general: sidecar.Net | None = None


def result_name(task: SegmentTask) -> str:
    """The name in the work folder of what a segment gave."""
    return f"segment-{task.number:05}"


def _survey_name(task):
    return f"survey-{task.number:05}"


def overfit_film(tasks: Sequence[SegmentTask], start: Net | None, work: Work, crew: Crew,
                 progress: Progress | None = None) -> Made:
    """Overfit every segment of a film and put the sidecar together.

    start: the general model, where it was trained elsewhere. work: keeps what is finished, and gives what an earlier
    run finished. progress: over the whole film.
    """
    plan = Plan(tasks, work, crew, progress)
    general = General(start) if start else _general(plan)
    results = crew.each(tasks, partial(_segment, plan, general), plan.tell)
    if progress:
        progress("assign", 1.0, float("nan"))
    return _put_together(tasks, results, general)


def assign_film(tasks: Sequence[SegmentTask], made: Made, number: int, work: Work, crew: Crew,
                progress: Progress | None = None) -> Made:
    """The film again with the nets that it has, for an lr video that was coded anew: each patch is given its net.

    tasks: its segments, with their new lr video. made: the film as it was. number: how often this was done, from 1 on.
    """
    plan, before = Plan(tasks, work, crew, progress), sidecar.read(made.data)

    def again(task) -> SegmentResult:
        fitted = _fitted_again(before.segments[task.number], made.general, task.recipe)
        return _assigned(plan, fitted, task, f"again-{number}-{task.number:05}")

    return _film_of(tasks, crew.each(tasks, again, plan.tell), made.general)


def _fitted_again(segment: sidecar.Segment, general: sidecar.Net | None, recipe: Recipe) -> Fitted:
    """The nets of a segment to be chosen among again; that of the general model costs a segment nothing."""
    choice = "all" if recipe.one_net and segment.nets else "best"
    if general is None:
        return Fitted(segment.nets, choice, chroma=segment.chroma)
    own = tuple(net for net in segment.nets if write_net(net) != write_net(general))
    # As when they were first assigned: what a bit is worth follows from the errors under its own nets.
    return Fitted(own, choice, near=own, general=general, chroma=segment.chroma)


class Plan:
    """How the budget is dealt out over the segments, and how much of the film is done."""

    def __init__(self, tasks: Sequence[SegmentTask], work: Work, crew: Crew, progress: Progress | None):
        self.tasks, self.work, self.crew = tasks, work, crew
        self.recipe: Recipe = tasks[0].recipe
        self.reading = threading.Semaphore(os.cpu_count() or 1)  # videos that are read here at the same time
        self._progress, self._lock = progress, threading.Lock()
        self._frames = sum(task.frames for task in tasks)
        self._left = [task for task in tasks if not work.has(result_name(task))]  # segments that nobody has begun
        self._finished = self._frames - sum(task.frames for task in self._left)
        self._running: dict[int, float] = {}  # the fraction done of segments that run here
        self.survey: Surveyed | None = None  # of a film that is one segment; others keep theirs in files
        self._stage = "sample"
        # Of a time budget, what earlier runs used is gone.
        self._began = time.monotonic() - work.seconds()

    def elapsed(self) -> float:
        """Seconds that this run and those it goes on from have used."""
        return time.monotonic() - self._began

    def general_budget(self) -> Budget:
        """What the general model trains for."""
        part = share(self.recipe, len(self.tasks))
        budget = self.recipe.budget
        if budget.steps is not None:
            return budget.part(part)
        return Budget(seconds=max(0.0, budget.seconds - self.elapsed()) * part)

    def begin(self, task: SegmentTask) -> Budget:
        """Take a segment in hand: what is left of the budget, in equal parts for those that are left."""
        with self._lock:
            frames, count = sum(left.frames for left in self._left), len(self._left)
            self._left.remove(task)
            self._running[task.number], self._stage = 0.0, "train"
            budget = self.recipe.budget
            if budget.steps is not None:
                return self._steps()[task.number]
            seconds = max(0.0, budget.seconds - self.elapsed())
            rounds = -(-count // self.crew.jobs)  # segments that each worker still has before it
            fair = min(seconds, seconds / rounds * task.frames * count / frames)
            # Where earlier segments took what was meant for this one, it is trained a little all the same.
            return Budget(seconds=max(fair, TRAINING_AT_LEAST * budget.seconds * task.frames / self._frames))

    def _steps(self) -> list[Budget]:
        whole = self.recipe.budget.steps - (self.general_budget().steps if self.tasks[0].recipe.general is None else 0)
        return Budget(steps=whole).split([task.frames / self._frames for task in self.tasks])

    def end(self, task: SegmentTask, result: SegmentResult) -> None:
        """Keep what a segment gave."""
        self.work.keep(result_name(task), partial(result.save, header=task.header))
        self.work.keep_seconds(self.elapsed())
        self.work.drop(_survey_name(task))
        with self._lock:
            del self._running[task.number]
            self._finished += task.frames

    def survey_path(self, task: SegmentTask) -> Path:
        """The file that takes the survey of a segment."""
        return self.work.path(_survey_name(task))

    def frames_of(self, task: SegmentTask, stage: str) -> Callable[[int], None]:
        """A progress(frames done) for a stage that does not count: it only says that the stage goes on."""
        return lambda done: self.tell(stage)

    def of(self, task: SegmentTask) -> Progress | None:
        """The progress of a segment that is overfitted here."""
        if self._progress is None:
            return None

        def note(stage, done, psnr):
            self._running[task.number] = done
            self.tell(stage, psnr)

        return note

    def tell(self, stage: str | None = None, psnr: float = float("nan")) -> None:
        """Report how much of the film is done: of a time budget the time that is over, otherwise the frames."""
        if self._progress is None:
            return
        seconds = self.recipe.budget.seconds
        if seconds is not None:
            done = self.elapsed() / max(seconds, 1e-9)
        else:
            with self._lock:
                running = sum(self.tasks[number].frames * part for number, part in self._running.items())
            done = (self._finished + running) / self._frames
        self._progress(stage or self._stage, min(done, 0.999), psnr)


def _general(plan: Plan) -> General:
    """The general model, from the work folder or trained now."""
    recipe, scale, work = plan.recipe, plan.tasks[0].header.net_scale, plan.work
    if share(recipe, len(plan.tasks)) == 0:
        return General(new_net(recipe.channels, scale, generator(recipe.seed)))
    if work.has("general"):
        with work.open("general") as file:
            return _load_general(file, len(recipe.channels) + 1, scale)
    learned = [plan.tasks[number] for number in learned_from(len(plan.tasks))]
    plan.crew.each(learned, partial(_survey, plan), plan.tell)
    pools = [partial(_pool, plan, task) for task in learned]
    general = train_general(pools, recipe, scale, plan.general_budget(), _price(plan.tasks, len(plan.tasks)),
                            plan.crew.jobs * plan.crew.threads, lambda _, psnr: plan.tell("warm-up", psnr))
    work.keep("general", partial(_save_general, general, plan.tasks[0].header))
    work.keep_seconds(plan.elapsed())
    return general


def _price(tasks, parts) -> Price:
    """What bytes of one of so many equal parts of the film are worth."""
    prices = [task.price for task in tasks]
    lr_bytes, pixels, patches = (sum(column) // parts for column in zip(*(
        (price.lr_bytes, price.pixels, price.patches) for price in prices), strict=True))
    return replace(prices[0], lr_bytes=lr_bytes, pixels=pixels, patches=patches)


def _survey(plan: Plan, task: SegmentTask) -> None:
    """Survey a segment, for the general model and for its own nets."""
    crew, note = plan.crew, plan.frames_of(task, "sample")
    if len(plan.tasks) == 1:
        plan.survey = survey(task, crew.threads, note)
    elif crew.shared:
        crew.call(survey_file, plan.survey_path(task), task, crew.threads, note if crew.here else None)
    else:
        with plan.reading:
            survey_file(plan.survey_path(task), task, progress=note)


def _pool(plan: Plan, task: SegmentTask) -> Sampled:
    return (plan.survey or load_survey(plan.survey_path(task))).sampled


def _segment(plan: Plan, general: General, task: SegmentTask) -> SegmentResult:
    """Overfit a segment, or take it from the work folder."""
    if plan.work.has(result_name(task)):
        with plan.work.open(result_name(task)) as file:
            return SegmentResult.load(file)
    crew, budget = plan.crew, plan.begin(task)
    surveyed = plan.survey or (plan.survey_path(task) if len(plan.tasks) > 1 else None)
    if crew.shared:
        result = crew.call(overfit_segment, task, surveyed, general, budget, crew.threads,
                           plan.of(task) if crew.here else None)
    else:
        result = _overfit_afar(plan, task, surveyed, general, budget)
    plan.end(task, result)
    return result


def _overfit_afar(plan, task, surveyed, general, budget) -> SegmentResult:
    """Overfit a segment where only this process can open the videos: its patches are sent to whoever trains."""
    began, crew = time.monotonic(), plan.crew
    if task.recipe.plain:
        with plan.reading:
            return finish(task, PLAIN)
    with plan.reading:
        if isinstance(surveyed, Path):
            survey_file(surveyed, task)
            surveyed = load_survey(surveyed)
        surveyed = surveyed or survey(task)
    fitted = crew.call(fit, task, surveyed, general, budget, crew.threads, None, time.monotonic() - began)
    with plan.reading:
        return finish(task, fitted)


def _assigned(plan: Plan, fitted: Fitted, task: SegmentTask, name: str) -> SegmentResult:
    """A segment again with the nets that it has, or from the work folder, where `name` has it."""
    crew = plan.crew
    if plan.work.has(name):
        with plan.work.open(name) as file:
            return SegmentResult.load(file)
    tell = plan.frames_of(task, "assign")
    if crew.shared:
        result = crew.call(finish, task, fitted, crew.threads, tell if crew.here else None)
    else:
        with plan.reading:
            result = finish(task, fitted, progress=tell)
    result = result.shared or result
    plan.work.keep(name, partial(result.save, header=task.header))
    return result


def _put_together(tasks, results, general) -> Made:
    if general.parent and _sharing_pays(tasks, results, general.parent.net):
        results = [min(result, result.shared or result, key=attrgetter("cost")) for result in results]
        return _film_of(tasks, results, general.parent.net)
    return _film_of(tasks, results, None)


def _film_of(tasks, results, general) -> Made:
    """general: the general model's net, where segments share it."""
    header, recipe = replace(tasks[0].header, known=(general,) if general else ()), tasks[0].recipe
    segments = tuple(result.segment for result in results)
    mode = _mode_number("other" if recipe.plain else recipe.mode, segments)
    data = sidecar.write(replace(header, mode=mode, segments=segments))
    frames = sum(task.frames for task in tasks)
    pixels = frames * header.hr_width * header.hr_height
    return Made(data, frames, sum(len(segment.nets) for segment in segments),
                float(psnr(sum(result.error for result in results), pixels)),
                float(psnr(sum(result.base_error for result in results), pixels)), general)


def _sharing_pays(tasks, results, net) -> bool:
    """Whether the general model's net saves all segments together more than its own bytes are worth."""
    saved = sum(max(0, result.cost - result.shared.cost) for result in results if result.shared)
    return saved > _price(tasks, 1).of_bit(sum(result.error for result in results)) * 8 * len(netcode.encode(net))


def _mode_number(mode, segments) -> int:
    """The header's mode field; for mode auto it says what was chosen."""
    if mode == "auto":
        mode = "stdo" if any(len(segment.nets) > 1 for segment in segments) else "single"
    return next(number for number, name in sidecar.MODE_NAMES.items() if name == mode)


def _save_general(general: General, header: sidecar.Sidecar, file: BinaryIO) -> None:
    for array in general.net.parameters:
        np.save(file, array, allow_pickle=False)
    np.save(file, np.array(general.parent is not None), allow_pickle=False)
    if general.parent:
        for units in general.parent.units:
            np.save(file, units, allow_pickle=False)
        file.write(sidecar.write(sidecar.of_nets(header, [general.parent.net])))


def _load_general(file: BinaryIO, layers: int, scale: int) -> General:
    arrays = [np.load(file, allow_pickle=False) for _ in range(2 * layers)]
    parent = None
    if np.load(file, allow_pickle=False):
        units = [np.load(file, allow_pickle=False) for _ in range(layers)]
        parent = Parent(sidecar.read(file.read()).nets[0], units)
    return General(Net(arrays[::2], arrays[1::2], scale), parent)
