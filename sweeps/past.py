"""What a journal tells of a run that ended before its time. Pure: no Ray."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.journal import Event
from trainables.checkpoint_store import checkpoint_epoch, checkpoint_lease
from trainables.ledger import Account, Span


@dataclass(frozen=True)
class Standstill:
    """A trial that had begun, and how it goes on.

    Attributes:
        config: with which it goes on.
        checkpoint: from which; None: from its beginning.
        is_paused: until the scheduler lets it.
    """

    config: Mapping[str, Any]
    checkpoint: str | None
    is_paused: bool


@dataclass
class _Life:
    """A trial, as far as its events tell."""

    config: Mapping[str, Any]
    has_begun: bool = False
    has_ended: bool = False
    is_last: bool = False  # its last report was the last of all
    is_completed: bool = False
    is_paused: bool = False
    checkpoint: str | None = None
    reports: list[tuple[int, int]] = field(default_factory=list)  # (number of event, epoch)
    saved: dict[int, str] = field(default_factory=dict)  # all checkpoints ever, by epoch
    exploit: tuple[Mapping[str, Any], str | None] | None = None  # config, checkpoint: not begun

    @property
    def saved_epoch(self) -> int:
        """The epoch that its checkpoint holds."""
        return 0 if self.checkpoint is None else checkpoint_epoch(self.checkpoint)


@dataclass
class Past:
    """All that is needed to go on.

    Attributes:
        events: of the journal, without reports of epochs that no checkpoint holds.
        all_events: of the journal: a scheduler knows of those epochs.
        standstills: of the trials that had begun and not ended, by id.
        ends: trials that had reported their last, which was not written down as their end.
        newest: checkpoint of each trial that had begun; None where none counts.
        spans: of the gangs, on the clock of the Unix epoch.
        first_lease: greater than all leases before.
        is_drawn: the trials are all in it.
        unended: trials that have not ended, begun or not.
        completed: where those stand that were trained to the end and have their last checkpoint.
    """

    events: list[Event]
    all_events: list[Event]
    standstills: dict[str, Standstill]
    ends: list[str]
    newest: dict[str, str | None]
    spans: list[Span]
    first_lease: int
    is_drawn: bool
    unended: list[str]
    completed: dict[str, Standstill]

    @property
    def held_seconds(self) -> float:
        """For how long gangs were held."""
        return sum(span.seconds for span in self.spans)

    @property
    def words(self) -> str:
        """What goes on, in one line."""
        num_trials = sum(event.kind == "add" for event in self.all_events)
        num_ended = num_trials - len(self.unended)
        num_lost = len(self.all_events) - len(self.events)
        return (
            f"{num_ended + len(self.ends)} trials had ended, {len(self.standstills)} go on from "
            f"their checkpoints; {num_lost} epochs without one are trained again; gangs were held "
            f"for {self.held_seconds:.1f} s before"
        )

    def seconds_by_trial(self) -> dict[str, float]:
        """Return for how long each trial held a gang, lost work included."""
        account = Account()
        for span in self.spans:
            account.add(span)
        return dict(account.by_trial)

    def located(self, locate: Callable[[str], str]) -> dict[str, Standstill]:
        """Return the standstills, their checkpoints where the run folder lies now."""
        return {
            trial_id: dataclasses.replace(
                standstill, checkpoint=standstill.checkpoint and locate(standstill.checkpoint)
            )
            for trial_id, standstill in self.standstills.items()
        }


def read_past(events: list[Event]) -> Past:
    """Return what the events of a journal come to."""
    lives: dict[str, _Life] = {}
    for event in events:
        _follow(lives, event)
    running = {name: life for name, life in lives.items() if life.has_begun and not life.has_ended}
    ends = [name for name, life in running.items() if life.is_last]
    standstills = {name: _stand(life) for name, life in running.items() if not life.is_last}
    lost = {
        number
        for name in standstills
        if lives[name].exploit is None  # else its past is over, however it was saved
        for number, epoch in lives[name].reports
        if epoch > lives[name].saved_epoch
    }
    own = {
        name: life.checkpoint if life.checkpoint in life.saved.values() else None
        for name, life in lives.items()
        if life.has_begun
    }
    leases = [checkpoint_lease(c) for life in lives.values() for c in life.saved.values()]
    return Past(
        events=[event for event in events if event.number not in lost],
        all_events=events,
        standstills=standstills,
        ends=ends,
        newest=own,
        spans=_spans(events),
        first_lease=max(leases, default=0) + 1,
        is_drawn=any(event.kind == "drawn" for event in events),
        unended=[name for name, life in lives.items() if not life.has_ended],
        completed={
            name: Standstill(life.config, life.checkpoint, is_paused=False)
            for name, life in lives.items()
            if life.is_completed and life.checkpoint is not None
        },
    )


def _stand(life: _Life) -> Standstill:
    if life.exploit is not None:
        return Standstill(*life.exploit, life.is_paused)
    return Standstill(life.config, life.checkpoint, life.is_paused)


def _follow(lives: dict[str, _Life], event: Event) -> None:
    """Let a trial live through an event."""
    fields = event.fields
    if event.kind == "add":
        lives[fields["trial_id"]] = _Life(fields["config"])
    if fields.get("trial_id") not in lives:
        return
    life = lives[fields["trial_id"]]
    if event.kind in ("refuse", "finish", "reopen", "forget"):
        _end(life, event)
    elif event.kind == "begin":
        _begin(life)
    elif event.kind == "resume":
        life.is_paused = False
    elif event.kind == "saved":
        _save(life, fields["checkpoint"])
    elif event.kind == "exploit":
        donor = lives[fields["donor_id"]]
        life.exploit = (fields["config"], donor.saved.get(fields["donor_epoch"]))
        life.is_paused = True
    elif event.kind == "report":
        _report(life, event)


def _end(life: _Life, event: Event) -> None:
    """Let a trial end, lose the checkpoint that it ended with, or go on after its end."""
    if event.kind == "forget":
        life.checkpoint = None
        return
    life.has_ended = event.kind != "reopen"
    life.is_completed = event.fields.get("status") == "completed"
    if event.kind == "reopen":
        life.config = event.fields["config"]
        life.is_last = life.is_paused = False


def _begin(life: _Life) -> None:
    life.has_begun, life.is_paused = True, False
    if life.exploit is not None:
        life.config, life.checkpoint = life.exploit
        life.exploit, life.reports = None, []


def _report(life: _Life, event: Event) -> None:
    result, decision = event.fields["result"], event.fields["decision"]
    life.reports.append((event.number, int(result["epoch"])))
    life.is_last = bool(result.get("done")) or decision == "STOP"
    life.is_paused = life.is_paused or decision in ("PAUSE", "NOOP")
    if result.get("checkpoint"):
        _save(life, result["checkpoint"])


def _save(life: _Life, checkpoint: str) -> None:
    life.saved[checkpoint_epoch(checkpoint)] = checkpoint
    if life.exploit is None:
        life.checkpoint = checkpoint


def _spans(events: Iterable[Event]) -> list[Span]:
    """Return what the gangs were held for: of each process, and of the spans that it left open."""
    spans: list[Span] = []
    left_open: list[Span] = []
    for event in events:
        if event.kind == "held":
            spans += [Span(*span) for span in event.fields["ended"]]
            left_open = [Span(*span) for span in event.fields["open"]]
        elif event.kind == "process":
            spans, left_open = spans + left_open, []
    return spans + left_open
