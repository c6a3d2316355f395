"""Who does the tasks: here or in other processes, in order, again where a worker died."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from stdo_min.algorithm import crew
from stdo_min.algorithm.crew import Crew, choose_jobs, local_crew
from stdo_min.video.ffmpeg import VideoError


def process_of(number):
    return number, os.getpid()


def dies_once(path):
    """Kill the own process the first time."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return os.getpid()
    os.kill(os.getpid(), signal.SIGKILL)


def dies(_):
    os.kill(os.getpid(), signal.SIGKILL)


def fails(number):
    if number == 1:
        raise KeyError("told")
    time.sleep(0.1)
    return number


def test_one_job_works_here_in_turn():
    with local_crew(1, 2) as workers:
        assert workers.here and workers.threads == 2
        assert workers.each([3, 1, 2], lambda n: workers.call(process_of, n), lambda: None) == [
            (number, os.getpid()) for number in (3, 1, 2)]


def test_others_work_side_by_side_and_results_come_in_order():
    ticks = []
    with local_crew(2, 1) as workers:
        found = workers.each(range(6), lambda n: workers.call(process_of, n), lambda: ticks.append(1))
    assert [number for number, _ in found] == list(range(6))
    assert os.getpid() not in {process for _, process in found}
    assert ticks


def test_a_task_whose_worker_died_is_done_again(tmp_path):
    with local_crew(2, 1) as workers:
        found = workers.each([tmp_path / name for name in "ab"], lambda path: workers.call(dies_once, path),
                             lambda: None)
    assert len(found) == 2 and os.getpid() not in found


def test_a_task_that_kills_every_worker_ends_the_run():
    with local_crew(2, 1) as workers, pytest.raises(VideoError, match="3 workers died of the same task"):
        workers.call(dies, 0)


def test_the_first_error_ends_all():
    with local_crew(2, 1) as workers, pytest.raises(KeyError, match="told"):
        workers.each(range(200), lambda n: workers.call(fails, n), lambda: None)


def test_any_executor_will_do():
    with Crew(1, 1, lambda: ProcessPoolExecutor(1)) as workers:
        assert workers.call(process_of, 4)[1] != os.getpid()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text("import sys, time\n"
                      f"sys.path.insert(0, {str(os.path.dirname(__file__))!r})\n"
                      "from stdo_min.algorithm.crew import local_crew\n"
                      "import test_crew\n"
                      "if __name__ == '__main__':\n"
                      "    with local_crew(2, 1) as workers:\n"
                      "        print(workers.call(test_crew.process_of, 0)[1], flush=True)\n"
                      "        time.sleep(60)\n")
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the worker outlived its parent")


@pytest.mark.parametrize("segments, threads, jobs", [
    (1, 8, 1), (30, 1, 1), (30, 2, 2), (3, 2, 1), (360, 16, 16), (2, 16, 2), (5, 4, 1), (4, 4, 4)])
def test_jobs_are_what_ends_soonest(monkeypatch, segments, threads, jobs):
    monkeypatch.setattr(crew, "_free_memory", lambda: 1 << 40)
    assert choose_jobs(segments, threads, 64 << 20) == jobs


def test_jobs_are_no_more_than_memory_holds(monkeypatch):
    monkeypatch.setattr(crew, "_free_memory", lambda: 1500 << 20)
    assert choose_jobs(360, 16, 64 << 20) == 3
    monkeypatch.setattr(crew, "_free_memory", lambda: 0)
    assert choose_jobs(360, 16, 64 << 20) == 1
