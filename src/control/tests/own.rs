//! One's own account.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    accounts::{AccountError, Standing},
    control::own::{self, Credentials, OwnEdit},
    director::Presence,
};

#[tokio::test]
async fn credentials_sign_in_and_an_address_that_guesses_is_stopped() {
    let mut room = Room::open(&[]).await;
    let ada = room.streamer("Ada").await;
    let admin = room.account("Root", Role::Admin).await;
    let sign_in = async |room: &mut Room, name: &str, password: &str| {
        let credentials = Credentials { name: name.to_owned(), password: password.into() };
        room.order(&Caller::Anonymous, async |control, by| own::sign_in(control, by, &credentials).await).await
    };
    assert_eq!(sign_in(&mut room, "Ada", PASSWORD).await.done_quietly("").id, ada);
    // Of those who run the night it is noted.
    assert_eq!(sign_in(&mut room, "Root", PASSWORD).await.done_quietly("Root session.begin").id, admin.id);
    for _ in 2..10 {
        sign_in(&mut room, "Ada", "a guess").await.denied("", "name or password is wrong");
    }
    let denied = sign_in(&mut room, "Ada", PASSWORD).await.denied("", "too many attempts");
    assert!(matches!(denied, Denied::TooManyAttempts { .. }));
}

#[tokio::test]
async fn own_edit_tells_of_a_new_name_and_a_new_password_ends_the_other_sessions() {
    // What people do with their own account is noted only of those who run the night.
    for (role, rows) in
        [(Role::Streamer, ["", "", ""]), (Role::Admin, ["Ada me.edit", "Bea me.password", "Bea session.end-all"])]
    {
        let mut room = Room::open(&[]).await;
        let id = room.account("Ada", role).await.id;
        let (here, there) = (room.session(id, "here"), room.session(id, "there"));
        let edit = async |room: &mut Room, edit: OwnEdit| {
            let (account, session) = (room.control.account(id).unwrap(), Some(here.clone()));
            let caller = Caller::Account(account.clone());
            room.order(&caller, async |control, by| own::edit(control, by, &account, session, edit).await).await
        };
        let password = |current: Option<&str>| OwnEdit {
            password: Some("a new password".into()),
            current_password: current.map(Into::into),
            ..OwnEdit::default()
        };
        edit(&mut room, password(None)).await.denied("", "give the current one too");
        edit(&mut room, password(Some("a guess"))).await.denied("", "not the current password");
        let named = OwnEdit { name: Some("Bea".to_owned()), ..OwnEdit::default() };
        let (_, news) = edit(&mut room, named).await.done(rows[0]);
        assert_eq!(news, [News::AccountRenamed(id), News::AccountChanged(id)]);
        assert!(room.control.sessions().stands(&there));
        let (_, news) = edit(&mut room, password(Some(PASSWORD))).await.done(rows[1]);
        assert_eq!(news, [News::AccountChanged(id)]);
        assert!(room.control.sessions().stands(&here) && !room.control.sessions().stands(&there));

        let account = room.control.account(id).unwrap();
        let caller = Caller::Account(account.clone());
        let end = async |control: &Control, by: &By| Ok(own::end_sessions(control, by, &account).await);
        room.order(&caller, end).await.done_quietly(rows[2]);
        assert!(!room.control.sessions().stands(&here));
    }
}

#[tokio::test]
async fn own_place_is_told_and_left_and_a_fresh_key_ends_the_connection() {
    let mut room = Room::open(&[]).await;
    let (first, _) = room.waits("Ada").await;
    let (second, entry) = room.waits("Bob").await;
    let told = |room: &Room, id: AccountId| {
        let account = room.control.account(id).unwrap();
        own::told(&room.control, account, &reached())
    };
    let bob = told(&room, second);
    assert_eq!(bob.entry.map(|own| (own.id, own.position)), Some((entry, 2)));
    assert_eq!(bob.rtmp_url, "rtmp://10.0.0.1:19350/live");
    assert_eq!(bob.stream_key.as_deref(), Some(room.control.stream_key(second).unwrap().expose()));

    own::leave(&room.control, first).await.unwrap();
    room.until(|queue| queue.waiting.len() == 1).await;
    assert!(told(&room, first).entry.is_none());
    let denied = own::leave(&room.control, first).await.unwrap_err();
    assert!(denied.to_string().starts_with("no such"), "{denied}");

    let before = room.control.stream_key(second).unwrap();
    let key = own::fresh_key(&room.control, second).await.unwrap();
    assert_ne!(key.expose(), before.expose());
    room.until(|queue| queue.waiting.iter().all(|entry| entry.presence == Presence::Absent)).await;
    let refusal = told(&room, second).last_refusal.unwrap();
    assert!(refusal.reason.contains("a new stream key was made"), "{}", refusal.reason);
    assert!(own::fresh_key(&room.control, AccountId(77)).await.is_err());
    assert_eq!(room.told(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessers_from_thousands_of_addresses_keep_nobody_out_whom_the_box_knows() {
    let room = Room::open(&[]).await;
    let mut people = Vec::new();
    for number in 0..15 {
        let name = format!("Person {number}");
        let id = room.streamer(&name).await;
        people.push((name, room.control.remember(id, None).unwrap()));
    }
    let (control, over) = (room.control.clone(), CancellationToken::new());
    let (checked, turned_away) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let guessers: Vec<_> = (0..200_u32)
        .map(|guesser| {
            let (control, over) = (control.clone(), over.clone());
            let (checked, turned_away) = (Arc::clone(&checked), Arc::clone(&turned_away));
            tokio::spawn(async move {
                let credentials = Credentials { name: format!("Person {}", guesser % 15), password: "a guess".into() };
                for attempt in 0.. {
                    if over.is_cancelled() {
                        break;
                    }
                    let address = Ipv4Addr::from(0xc612_0000_u32 + guesser * 256 + attempt % 256);
                    let by = By::new(Caller::Anonymous, Some(address.into()), Noted::default());
                    match own::sign_in(&control, &by, &credentials).await {
                        Err(Denied::Account(AccountError::WrongCredentials)) => checked.fetch_add(1, Ordering::Relaxed),
                        Err(Denied::Account(AccountError::Busy)) => turned_away.fetch_add(1, Ordering::Relaxed),
                        Err(Denied::TooManyAttempts { .. }) => 0,
                        other => panic!("{other:?}"),
                    };
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    while turned_away.load(Ordering::Relaxed) < 200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    // All of them at once, behind one router.
    let began = std::time::Instant::now();
    let known = people.iter().map(|(name, device)| {
        let by = By::new(Caller::Anonymous, Some(IpAddr::from(ADDRESS)), Noted::default());
        let (by, control) = (by.through(Some(device.clone()), false), &control);
        let credentials = Credentials { name: name.clone(), password: PASSWORD.into() };
        async move { own::sign_in(control, &by, &credentials).await.map(|account| account.name) }
    });
    for ((name, _), entered) in people.iter().zip(futures_util::future::join_all(known).await) {
        assert_eq!(&entered.unwrap(), name);
    }
    let password = PASSWORD.into();
    let near = people.iter().map(|(name, _)| room.parts().accounts.sign_in(name, &password, Standing::Near));
    for entered in futures_util::future::join_all(near).await {
        entered.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let before = checked.load(Ordering::Relaxed);
    tokio::time::timeout(Duration::from_secs(20), async {
        while checked.load(Ordering::Relaxed) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("strangers have their turn too");
    over.cancel();
    for guesser in guessers {
        guesser.await.unwrap();
    }
}
