//! Who did what, as the log has it.

use super::*;

#[tokio::test]
async fn row_holds_who_did_what_to_whom_from_where_and_is_bounded() {
    let mut room = Room::open(&[]).await;
    let admin = room.account("Root", Role::Admin).await;
    let deed = |outcome: Result<(), Denied>, target: String| {
        async move |_: &Control, by: &By| {
            by.did("test.first", "is not what counts");
            by.did("test.did", target);
            outcome
        }
    };
    room.order(&Caller::Account(admin.clone()), deed(Ok(()), "this".to_owned()))
        .await
        .done_quietly("Root test.did this");
    let denied = deed(Err(Denied::NotFound("no such thing")), String::new());
    room.order(&Caller::Token, denied).await.denied("admin.token test.did", "no such thing");
    room.order(&Caller::Anonymous, deed(Ok(()), "é".repeat(300)))
        .await
        .done_quietly(&format!("somebody test.did {}", "é".repeat(200)));
    // What nobody says anything of is no row.
    room.order(&Caller::Token, async |_, _| Ok(())).await.done_quietly("");

    let part = async |limit: usize, before: Option<u64>| {
        let rows = journal::read(&room.control, &Part { limit: Some(limit), before }).await.unwrap();
        rows.into_iter().map(|row| (row.number, row.who, row.account)).collect::<Vec<_>>()
    };
    let all = part(10, None).await;
    assert_eq!(all.iter().map(|(_, who, _)| who.as_str()).collect::<Vec<_>>(), ["somebody", "admin.token", "Root"]);
    assert_eq!(all.iter().map(|(.., account)| *account).collect::<Vec<_>>(), [None, None, Some(admin.id)]);
    assert_eq!(part(1, None).await, all[..1]);
    assert_eq!(part(1, Some(all[0].0)).await, all[1..2]);
    // None at all is one.
    assert_eq!(part(0, Some(all[1].0)).await, all[2..]);
}

#[tokio::test]
async fn own_affairs_are_noted_of_those_who_run_the_night_alone() {
    let mut room = Room::open(&[]).await;
    for (name, role, row) in
        [("Ada", Role::Streamer, ""), ("Opa", Role::Operator, "Opa test.own"), ("Root", Role::Admin, "Root test.own")]
    {
        let caller = Caller::Account(room.account(name, role).await);
        let own = async |_: &Control, by: &By| {
            by.did_with_own("test.own");
            Ok(())
        };
        room.order(&caller, own).await.done_quietly(row);
    }
}

#[tokio::test]
async fn attempt_from_nowhere_is_none() {
    let room = Room::open(&[]).await;
    let by = By::new(Caller::Anonymous, None, Noted::default());
    let denied = by.attempt(&room.control.limits().sign_in).unwrap_err();
    assert!(matches!(denied, Denied::Failed(_)), "{denied}");
    let by = By::new(Caller::Anonymous, Some(IpAddr::from(ADDRESS)), Noted::default());
    assert!(by.attempt(&room.control.limits().sign_in).is_ok());
}
