//! Rule 19: what makes the show safe acts on every kind of disk, and is stored when the disk works again.

use std::{io::ErrorKind, time::Instant};

use super::*;
use crate::{
    accounts::{AccountError, Standing},
    control::{destinations, destinations::wanted::EditDestination, night, people},
    core::{
        destination::{DestinationId, DestinationInput, DestinationState},
        queue,
    },
    store::Kept,
};

/// Longer than any answer may take, and shorter than a flush of the slow disk; a test machine may be busy.
const SOON: Duration = Duration::from_millis(1200);

fn a_caller() -> By {
    By::new(Caller::Token, Some(IpAddr::from(ADDRESS)), Noted::default())
}

impl Room {
    async fn destination(&self, name: &str) -> DestinationId {
        let url = "rtmp://192.0.2.1/app".to_owned();
        let input = DestinationInput { name: name.to_owned(), url, key: "key".into(), enabled: true };
        self.parts().destinations.add(input).await.unwrap().id
    }

    /// Waits until everything is on the disk.
    async fn all_stored(&self) {
        for _ in 0..1000 {
            if self.control.storing().stored && self.control.storing().works {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not stored within 20 s");
    }
}

/// Runs an order that has to be done soon, and not stored.
async fn at_once<T>(what: &str, order: impl Future<Output = Result<(T, Kept), Denied>>) -> T {
    let asked = Instant::now();
    let (done, kept) = order.await.unwrap_or_else(|denied| panic!("{what}: {denied}"));
    assert!(asked.elapsed() < SOON, "{what} took {:?}", asked.elapsed());
    assert_eq!(kept, Kept::NotYet, "{what}");
    done
}

async fn everything_acts(spoil: impl Fn(&Flaky), mend: impl Fn(&Flaky), refuses: bool) {
    let flaky = Flaky::new();
    let room = Room::open_on(&[], Some(&flaky)).await;
    room.account("Root", Role::Admin).await;
    let (ada, _) = room.waits("Ada").await;
    let _ada = Camera::start(room.parts(), "Ada").await;
    room.until(|queue| queue.on_air.as_ref().is_some_and(|turn| turn.entry.account == ada)).await;
    let (bob, _) = room.waits("Bob").await;
    let (cy, third) = room.waits("Cy").await;
    let (dan, _) = room.waits("Dan").await;
    let (wide, near) = (room.destination("Wide").await, room.destination("Near").await);
    let session = room.session(bob, "here");
    room.all_stored().await;
    let (control, by) = (room.control.clone(), a_caller());
    night::switch_show(&control, &by, true).await.unwrap();
    let snapshot = || control.snapshot().queue.clone();
    let plain = async |kept: Result<Kept, Denied>| kept.map(|kept| ((), kept));

    spoil(&flaky);
    at_once("panic", async { plain(night::set_slate(&control, &by, true).await).await }).await;
    assert!(snapshot().forced_slate);
    at_once("panic off", async { plain(night::set_slate(&control, &by, false).await).await }).await;
    assert!(!snapshot().forced_slate);
    at_once("hold", async { plain(night::set_hold(&control, &by, true).await).await }).await;
    assert!(snapshot().hold);
    at_once("kick", async { plain(night::kick(&control, &by, third).await).await }).await;
    assert_eq!(place(&snapshot(), cy), None);

    // A ban is out at once: place, sessions, key and password.
    let banned = at_once("ban", people::ban(&control, &by, bob)).await;
    assert!(banned.banned && control.account(bob).unwrap().banned);
    assert_eq!(place(&snapshot(), bob), None);
    assert!(!control.sessions().stands(&session));
    assert!(!publish(room.parts(), &room.whole.ingest, bob, "again").await);
    let signs_in = room.parts().accounts.sign_in("Bob", &PASSWORD.into(), Standing::Known).await;
    assert!(matches!(signs_in, Err(AccountError::NotEnabled(_))), "{signs_in:?}");
    let disabled = Edit { enabled: Some(false), ..Edit::default() };
    at_once("disable", people::edit(&control, &by, dan, disabled)).await;
    assert_eq!(place(&snapshot(), dan), None);

    let view = at_once("destination off", destinations::switch(&control, &by, wide, false)).await;
    assert!(!view.enabled);
    let off = EditDestination { enabled: Some(false), ..EditDestination::default() };
    at_once("the other off", destinations::edit(&control, &by, near, off)).await;
    let mut media = control.media_statuses();
    let dark = media.wait_for(|now| {
        [wide, near].iter().all(|id| now.destinations.get(id).is_some_and(|it| it.state == DestinationState::Disabled))
    });
    tokio::time::timeout(Duration::from_secs(5), dark).await.unwrap().unwrap();
    at_once("skip", async { plain(night::skip(&control, &by, None).await).await }).await;
    at_once("end of the show", async { plain(night::switch_show(&control, &by, false).await).await }).await;
    assert!(!snapshot().show);
    room.until(|queue| queue.on_air.is_none()).await;

    // Those who run the night come in; and everything that can wait is refused, or waits.
    let crew = room.control.everybody().into_iter().find(|account| account.role == Role::Admin).unwrap();
    room.parts().accounts.sign_in("Root", &PASSWORD.into(), Standing::Known).await.unwrap();
    let here = room.session(crew.id, "here");
    assert!(control.sessions().stands(&here));
    assert!(!control.storing().stored);
    if refuses {
        assert!(!control.storing().works);
        assert!(matches!(night::switch_show(&control, &by, true).await, Err(Denied::Order(_))));
        assert!(people::unban(&control, &by, bob).await.is_err());
        assert!(destinations::switch(&control, &by, wide, true).await.is_err());
        assert!(control.account(bob).unwrap().banned && !snapshot().show);
    }

    mend(&flaky);
    room.all_stored().await;
    room.whole.token.cancel();
    room.parts().store.close().await;
    let (store, loaded) = flaky.open();
    let record: queue::Record = serde_json::from_slice(&loaded.queue.unwrap()).unwrap();
    assert!(record.hold && !record.forced_slate && record.on_air.is_none() && record.waiting.is_empty(), "{record:?}");
    assert_eq!(record.hold_offs.iter().map(|held| held.account).collect::<Vec<_>>(), [cy]);
    assert_eq!(loaded.settings["show"], false);
    let account = |id: AccountId| loaded.accounts.iter().find(|account| account.id == id).unwrap();
    assert!(account(bob).banned && !account(dan).enabled && account(ada).enabled);
    assert!(loaded.destinations.len() == 2 && loaded.destinations.iter().all(|one| !one.enabled));
    assert_eq!(loaded.sessions.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), [here.stored()]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_the_show_safe_acts_on_a_full_disk() {
    everything_acts(|disk| disk.fail(Some(ErrorKind::StorageFull)), |disk| disk.fail(None), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_the_show_safe_acts_on_a_read_only_disk() {
    everything_acts(|disk| disk.make_read_only(true), |disk| disk.make_read_only(false), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_the_show_safe_acts_on_a_dead_disk() {
    everything_acts(|disk| disk.fail(Some(ErrorKind::Other)), |disk| disk.fail(None), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_the_show_safe_acts_on_a_disk_that_takes_seconds_for_each_flush() {
    let (slow, quick) = (Duration::from_secs(3), Duration::ZERO);
    everything_acts(|disk| disk.slow_down(slow), |disk| disk.slow_down(quick), false).await;
}

/// Changes that are on their way to a slow disk were ordered before, and take nothing back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_stored_brings_nobody_back() {
    let flaky = Flaky::new();
    let room = Room::open_on(&[], Some(&flaky)).await;
    room.account("Root", Role::Admin).await;
    let (bob, cy) = (room.streamer("Bob").await, room.streamer("Cy").await);
    let wide = room.destination("Wide").await;
    let (control, by) = (room.control.clone(), a_caller());
    people::ban(&control, &by, cy).await.unwrap();
    room.all_stored().await;

    flaky.slow_down(Duration::from_millis(1500));
    let renamed = Edit { name: Some("Robert".to_owned()), ..Edit::default() };
    let moved = EditDestination { name: Some("Wider".to_owned()), enabled: Some(true), ..EditDestination::default() };
    let (one, two, three) = (control.clone(), control.clone(), control.clone());
    let (by_one, by_two, by_three) = (a_caller(), a_caller(), a_caller());
    // One after another: the second account's waits behind the first's.
    let rename = tokio::spawn(async move { people::edit(&one, &by_one, bob, renamed).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let unban = tokio::spawn(async move { people::unban(&two, &by_two, cy).await });
    let edit = tokio::spawn(async move { destinations::edit(&three, &by_three, wide, moved).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    at_once("ban", people::ban(&control, &by, bob)).await;
    at_once("ban of who is being let in again", people::ban(&control, &by, cy)).await;
    at_once("destination off", destinations::switch(&control, &by, wide, false)).await;
    let (bob_then, _) = rename.await.unwrap().unwrap();
    let (cy_then, (wide_then, _)) = (unban.await.unwrap().unwrap(), edit.await.unwrap().unwrap());
    flaky.slow_down(Duration::ZERO);
    assert!(bob_then.banned && bob_then.name == "Robert" && cy_then.banned);
    assert!(!wide_then.enabled && wide_then.name == "Wider");
    // Who was ordered in afterwards is in.
    assert!(!people::unban(&control, &by, cy).await.unwrap().banned);
    room.all_stored().await;
    room.whole.token.cancel();
    room.parts().store.close().await;
    let (store, loaded) = flaky.open();
    let account = |id: AccountId| loaded.accounts.iter().find(|account| account.id == id).unwrap();
    assert_eq!((account(bob).name.as_str(), account(bob).banned, account(cy).banned), ("Robert", true, false));
    assert_eq!((loaded.destinations[0].name.as_str(), loaded.destinations[0].enabled), ("Wider", false));
    store.close().await;
}

/// Of two admins one is being demoted, and the other cannot be banned meanwhile; who is banned while being deleted stays away.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_stored_leaves_an_admin_and_deletes_for_good() {
    let flaky = Flaky::new();
    let room = Room::open_on(&[], Some(&flaky)).await;
    let (first, other) = (room.account("Root", Role::Admin).await.id, room.account("Other", Role::Admin).await.id);
    let bob = room.streamer("Bob").await;
    room.all_stored().await;
    let (control, by, by_one) = (room.control.clone(), a_caller(), a_caller());
    flaky.slow_down(Duration::from_millis(1500));
    let one = control.clone();
    let demoted = Edit { role: Some(Role::Streamer), ..Edit::default() };
    let demote = tokio::spawn(async move { people::edit(&one, &by_one, other, demoted).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let denied = people::ban(&control, &by, first).await.unwrap_err();
    assert!(matches!(denied, Denied::Account(AccountError::LastAdmin)), "{denied}");
    assert_eq!(demote.await.unwrap().unwrap().0.role, Role::Streamer);

    let (one, by_one) = (control.clone(), a_caller());
    let delete = tokio::spawn(async move { people::delete(&one, &by_one, bob).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    at_once("ban", people::ban(&control, &by, bob)).await;
    delete.await.unwrap().unwrap();
    flaky.slow_down(Duration::ZERO);
    assert!(control.account(bob).is_none());
    room.all_stored().await;
    room.whole.token.cancel();
    room.parts().store.close().await;
    let (store, loaded) = flaky.open();
    assert!(loaded.accounts.iter().all(|account| account.id != bob), "deleted is deleted");
    store.close().await;
}
