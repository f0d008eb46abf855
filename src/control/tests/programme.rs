//! Who watches the programme, and the venue's OBS where there is none.

use tokio::net::TcpListener;

use super::*;
use crate::{
    control::{
        obs::{self, ProgramSource, Trial},
        viewers,
    },
    obs::{Link, Trouble},
};

#[tokio::test]
async fn viewer_token_plays_until_it_is_revoked() {
    let mut room = Room::open(&[]).await;
    let make = async |room: &mut Room, label: &str| {
        room.order(&Caller::Token, async |control, by| viewers::make(control, by, label).await).await
    };
    make(&mut room, "").await.denied("admin.token viewer.create", "label");
    let (viewer, token) = make(&mut room, "The hall").await.done_quietly("admin.token viewer.create The hall");
    let denied = viewers::play(&room.control, &"guess".into()).unwrap_err();
    assert!(matches!(denied, Denied::NotAllowed(_)), "{denied}");
    let (mut programme, end) = viewers::play(&room.control, &token).unwrap();
    assert!(programme.recv().await.unwrap().starts_with(b"FLV"));
    let revoke = async |control: &Control, by: &By| viewers::revoke(control, by, viewer.id).await;
    room.order(&Caller::Token, revoke).await.done_quietly("admin.token viewer.revoke The hall");
    assert!(end.is_cancelled());
    assert!(viewers::play(&room.control, &token).is_err());
    room.order(&Caller::Token, revoke).await.denied("admin.token viewer.revoke", "no such");
}

#[tokio::test]
async fn room_watches_where_that_is_set_and_the_crew_always() {
    for (set, open) in [("false", false), ("true", true)] {
        let room = Room::open(&[("WEB__OPEN_PREVIEW", set)]).await;
        let streamer = Caller::Account(room.account("Ada", Role::Streamer).await);
        let operator = Caller::Account(room.account("Opa", Role::Operator).await);
        for (caller, may) in [(Caller::Anonymous, open), (streamer, open), (operator, true), (Caller::Token, true)] {
            assert_eq!(viewers::may_watch(&room.control, &caller), may, "{set} {caller:?}");
        }
    }
}

#[tokio::test]
async fn without_an_obs_orders_to_it_say_so_and_leave_nothing_behind() {
    let mut room = Room::open(&[]).await;
    assert!(obs::inventory(&room.control).await.is_err_and(|denied| matches!(denied, Denied::Obs(_))));
    let stream = async |control: &Control, by: &By| obs::stream(control, by, true).await;
    room.order(&Caller::Token, stream).await.denied("admin.token obs.stream start", "OBS is not connected");
    let set_up = async |control: &Control, by: &By| obs::set_up(control, by).await;
    room.order(&Caller::Token, set_up).await.denied("admin.token obs.setup", "no OBS is set");
    let play = async |room: &mut Room, input: &str| {
        let source = ProgramSource { input: input.to_owned() };
        room.order(&Caller::Token, async |control, by| obs::play(control, by, source).await).await
    };
    play(&mut room, "").await.denied("admin.token obs.program", "choose a media source");
    play(&mut room, "Screen").await.denied("admin.token obs.program Screen", "no OBS is set");
    assert!(room.control.viewers().is_empty() && room.control.config().obs.program_source.is_none());
    let anew = async |control: &Control, by: &By| obs::connect_anew(control, by).await;
    room.order(&Caller::Token, anew).await.done_quietly("admin.token obs.reconnect");
}

#[tokio::test]
async fn obs_that_is_set_and_away_is_told_of_and_leaves_no_token_behind() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let set = port.to_string();
    let mut room = Room::open(&[("OBS__HOST", "127.0.0.1"), ("OBS__PORT", &set)]).await;
    let mut status = room.parts().obs.status();
    status.wait_for(|status| matches!(status.link, Link::Away { .. })).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(2), room.news.next()).await;
    assert_eq!(told.unwrap(), Some(Heard::News(News::ObsChanged)));

    let outcome = room.order(&Caller::Token, async |control, by| obs::set_up(control, by).await).await.outcome;
    assert!(matches!(outcome, Err(Denied::Obs(_))));
    let source = ProgramSource { input: "Screen".to_owned() };
    let outcome = room.order(&Caller::Token, async |control, by| obs::play(control, by, source).await).await.outcome;
    assert!(matches!(outcome, Err(Denied::Obs(_))));
    assert!(room.control.viewers().is_empty() && room.control.config().obs.program_source.is_none());

    let try_out = async |room: &mut Room, host: &str, port: u16| {
        let trial = Trial { host: host.to_owned(), port, password: None };
        room.order(&Caller::Token, async |control, by| obs::try_out(control, by, trial).await).await
    };
    for (host, port, why) in [("", 1, "write a name"), ("a b", 1, "write a name"), ("10.0.0.1", 0, "write a port")] {
        let denied = try_out(&mut room, host, port).await.outcome.unwrap_err();
        assert!(denied.to_string().contains(why), "{denied}");
    }
    let ended = try_out(&mut room, " 127.0.0.1 ", port).await;
    assert_eq!(ended.row, format!("admin.token obs.test 127.0.0.1:{port}: done"));
    let tried = ended.outcome.unwrap();
    assert_eq!(tried.version, None);
    assert!(matches!(tried.trouble, Some(Trouble::NothingThere { .. })), "{tried:?}");
}
