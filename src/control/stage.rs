//! What the venue's OBS has to know of the queue, from each of its snapshots.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    core::moment::Moment,
    director::{Snapshot, TurnView},
    obs::{Act, Stage, TimeLeft},
};

/// The stage of a snapshot. Pure.
///
/// A stalled input stays on air: the programme itself shows the slate then, wherever it is played, and comes back by itself within
/// seconds. A change of OBS's scene for that would be a second cut, and a late one.
fn of(snapshot: &Snapshot) -> Stage {
    let queue = &snapshot.queue;
    let on_air = queue.on_air.as_ref();
    // A take of whoever is on air already is no handover.
    let pending = snapshot.pending.filter(|target| on_air.is_none_or(|turn| turn.entry.id != *target));
    let act = match on_air {
        _ if queue.forced_slate => Act::Slate,
        // A first take that is pending is told by `next` only, so that names stand there when the picture comes.
        None => Act::Slate,
        Some(turn) if turn.suspended => Act::Slate,
        Some(_) if pending.is_some() => Act::Handover,
        Some(_) => Act::OnAir,
    };
    let next = pending.or(queue.next);
    let next = queue.waiting.iter().find(|entry| Some(entry.id) == next);
    Stage {
        show: queue.show,
        act,
        streamer: on_air.map(|turn| turn.entry.name.clone()),
        next: next.map(|entry| entry.name.clone()),
        time: on_air.map_or(TimeLeft::None, |turn| time_left(turn, snapshot.taken)),
        turn: on_air.map(|turn| turn.id.0),
    }
}

/// What is left of a turn that was looked at then.
fn time_left(turn: &TurnView, taken: Moment) -> TimeLeft {
    let left = Duration::try_from_secs_f64(turn.remaining_seconds).unwrap_or_default();
    if !turn.running {
        // Rounded up, as all time that is left.
        return TimeLeft::Standing(left.as_secs() + u64::from(left.subsec_nanos() > 0));
    }
    // In steps of 10 ms: a deadline that stands is the same in every snapshot, whatever the fractions of its sums.
    let end = (taken + left).since_start().as_secs_f64();
    let end = Duration::try_from_secs_f64((end * 100.0).round() / 100.0).unwrap_or_default();
    TimeLeft::Until(Moment::from_start(end))
}

/// Keeps the stage up to date until `token`, or until the director is gone.
pub async fn follow(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    stage: watch::Sender<Arc<Stage>>,
    token: CancellationToken,
) {
    loop {
        let now = of(&snapshots.borrow_and_update());
        stage.send_if_modified(|shown| {
            let changed = **shown != now;
            if changed {
                *shown = Arc::new(now);
            }
            changed
        });
        tokio::select! {
            () = token.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        core::{
            account::AccountId,
            queue::{EntryId, Presence, TurnId},
        },
        director::{EntryView, QueueView},
    };

    fn entry(id: u64, name: &str) -> EntryView {
        EntryView { id: EntryId(id), account: AccountId(id), name: name.to_owned(), presence: Presence::Ready }
    }

    fn turn() -> TurnView {
        TurnView {
            id: TurnId(7),
            entry: entry(1, "Ada"),
            length_seconds: 600.0,
            elapsed_seconds: 10.0,
            remaining_seconds: 590.0,
            running: true,
            suspended: false,
            stalled: false,
        }
    }

    /// Ada is on air, Bob and Cleo wait, and Bob is next.
    fn evening() -> Snapshot {
        let queue = QueueView {
            on_air: Some(turn()),
            waiting: vec![entry(2, "Bob"), entry(3, "Cleo")],
            next: Some(EntryId(2)),
            show: true,
            ..QueueView::default()
        };
        Snapshot { taken: Moment::from_start(Duration::from_secs(100)), queue, ..Snapshot::default() }
    }

    fn with(change: impl FnOnce(&mut Snapshot)) -> Stage {
        let mut snapshot = evening();
        change(&mut snapshot);
        of(&snapshot)
    }

    #[test]
    fn somebody_on_air_is_told_with_the_next_one_and_the_end_of_the_turn() {
        let stage = of(&evening());
        let wanted = Stage {
            show: true,
            act: Act::OnAir,
            streamer: Some("Ada".to_owned()),
            next: Some("Bob".to_owned()),
            time: TimeLeft::Until(Moment::from_start(Duration::from_secs(690))),
            turn: Some(7),
        };
        assert_eq!(stage, wanted);
    }

    #[test]
    fn empty_box_shows_the_slate() {
        assert_eq!(of(&Snapshot::default()), Stage::default());
    }

    #[test]
    fn take_of_another_is_a_handover_to_them() {
        let stage = with(|snapshot| snapshot.pending = Some(EntryId(3)));
        assert_eq!((stage.act, stage.next.as_deref()), (Act::Handover, Some("Cleo")));
        assert_eq!(stage.streamer.as_deref(), Some("Ada"));
        let own = with(|snapshot| snapshot.pending = Some(EntryId(1)));
        assert_eq!((own.act, own.next.as_deref()), (Act::OnAir, Some("Bob")));
    }

    #[test]
    fn first_take_stays_on_the_slate_until_it_is_taken_and_its_name_is_cued() {
        let stage = with(|snapshot| {
            snapshot.queue.on_air = None;
            snapshot.pending = Some(EntryId(3));
        });
        assert_eq!((stage.act, stage.next.as_deref(), stage.turn), (Act::Slate, Some("Cleo"), None));
        assert_eq!((stage.streamer, stage.time), (None, TimeLeft::None));
    }

    #[test]
    fn panic_and_suspension_show_the_slate_and_a_stall_does_not() {
        let on_air = |change: fn(&mut TurnView)| with(|snapshot| change(snapshot.queue.on_air.as_mut().unwrap()));
        let panic = with(|snapshot| {
            snapshot.queue.forced_slate = true;
            snapshot.pending = Some(EntryId(2));
        });
        assert_eq!(panic.act, Act::Slate);
        assert_eq!(on_air(|turn| turn.suspended = true).act, Act::Slate);
        assert_eq!(on_air(|turn| turn.stalled = true).act, Act::OnAir);
    }

    #[test]
    fn clock_that_stands_says_what_is_left() {
        let left = |seconds| {
            let stage = with(|snapshot| {
                let turn = snapshot.queue.on_air.as_mut().unwrap();
                (turn.running, turn.remaining_seconds) = (false, seconds);
            });
            stage.time
        };
        assert_eq!(left(42.0), TimeLeft::Standing(42));
        assert_eq!(left(41.2), TimeLeft::Standing(42));
        for nonsense in [-3.0, f64::NAN, f64::INFINITY] {
            assert_eq!(left(nonsense), TimeLeft::Standing(0));
        }
    }

    #[test]
    fn deadline_that_stands_is_the_same_in_every_snapshot() {
        let at = |seconds: f64| {
            with(|snapshot| {
                snapshot.taken = Moment::from_start(Duration::from_secs_f64(100.0 + seconds));
                snapshot.queue.on_air.as_mut().unwrap().remaining_seconds = 590.0 - seconds;
            })
        };
        let first = at(0.0);
        assert!([0.1, 0.123_456_7, 1.0 / 3.0, 7.7, 589.999].iter().all(|seconds| at(*seconds) == first));
    }

    #[tokio::test]
    async fn stage_is_handed_on_when_it_changes_and_not_otherwise() {
        let (snapshots, followed) = watch::channel(Arc::new(Snapshot::default()));
        let (stage, mut shown) = watch::channel(Arc::default());
        let token = CancellationToken::new();
        let task = tokio::spawn(follow(followed, stage, token.clone()));
        snapshots.send_replace(Arc::new(evening()));
        shown.changed().await.unwrap();
        assert_eq!(shown.borrow_and_update().streamer.as_deref(), Some("Ada"));
        // Of no concern to a stage.
        let mut other = evening();
        other.queue.hold = true;
        snapshots.send_replace(Arc::new(other));
        token.cancel();
        task.await.unwrap();
        assert!(shown.has_changed().is_err(), "nothing was sent since, and the sender is gone");
    }
}
