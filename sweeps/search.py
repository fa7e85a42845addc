"""The search: trials trained on the held gangs by Ray Tune, as scheduler and searcher decide."""

from __future__ import annotations

from ray import tune

from sweeps.feeding import has_trials_left, make_feed
from sweeps.held_sweep import HeldSweep
from sweeps.schedulers.choose import make_scheduler
from sweeps.schedulers.journaled import JournaledScheduler
from sweeps.trial_record import OPEN
from sweeps.tune_callback import StopOnRequest, SweepCallback
from trainables.gang_trial import TRIAL_SLOT, GangTrial, TrialSettings


def search(held: HeldSweep) -> None:
    """Train the trials that have not ended, as far as the budget pays."""
    sweep, recorder, watch = held.sweep, held.recorder, held.watch
    if not has_trials_left(sweep, recorder):
        return
    plan, standstills = sweep.plan, held.standstills
    scheduler = _scheduler(held)
    _adopt_checkpoints(held)
    callback = SweepCallback(
        recorder,
        held.keeper,
        storage=sweep.storage,
        donor_checkpoints=scheduler.donor_checkpoints,
        release=held.desk.release_trial.remote,
        plan=plan,
        denial=watch.denial,
        decision=scheduler.decision,
        standstills=standstills,
        seconds_before={} if sweep.past is None else sweep.past.seconds_by_trial(),
        tell=held.tell,
    )
    settings = TrialSettings(
        held.desk,
        sweep.storage,
        plan.spec.checkpoint_epochs,
        tuple(dict.fromkeys(o.column for o in (*plan.steering, *plan.searching))),
    )
    # Not tune.Tuner: it pickles schedulers and callbacks, which hold the run folder.
    tune.run(
        tune.with_resources(
            tune.with_parameters(GangTrial, settings=settings),
            tune.PlacementGroupFactory([{TRIAL_SLOT: 1}]),
        ),
        name="tune",
        storage_path=held.scratch,
        search_alg=make_feed(sweep, recorder, watch, standstills, held.journal.append),
        scheduler=scheduler,
        callbacks=[callback],
        stop=StopOnRequest(lambda: held.stop.is_set() or watch.spent is not None),
        reuse_actors=True,
        raise_on_failed_trial=False,
        verbose=0,
    )
    recorder.settle(watch.account())
    if watch.spent is not None and not held.stop.is_set():
        recorder.end_all_unpaid(watch.denials(), "the budget was spent")


def _scheduler(held: HeldSweep) -> JournaledScheduler:
    """Return the scheduler, which knows what it knew when an earlier process ended."""
    sweep = held.sweep
    inner = make_scheduler(sweep.plan, sweep.architectures.known, held.recorder.exploit)
    scheduler = JournaledScheduler(inner, held.journal.append)
    if sweep.past is not None:
        scheduler.replay(sweep.past.all_events)
    return scheduler


def _adopt_checkpoints(held: HeldSweep) -> None:
    """Tell the keeper of the checkpoints that an earlier process of the sweep has left."""
    past = held.sweep.past
    if past is None:
        return
    held.keeper.adopt(
        held.sweep.storage,
        past.newest,
        [s.checkpoint for s in held.standstills.values() if s.checkpoint is not None],
        [t.trial_id for t in held.recorder.trials.values() if t.status not in OPEN],
    )
