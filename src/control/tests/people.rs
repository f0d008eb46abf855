//! Who joins, who is out, and who may say so.

use secrecy::SecretString;

use super::*;
use crate::{
    accounts::NewInvitation,
    control::people::{self, Setup},
    director::Presence,
};

#[tokio::test]
async fn newcomers_register_where_that_is_open_and_admins_make_accounts_anyway() {
    let mut room = Room::open(&[("ACCOUNTS__REGISTRATION", "closed")]).await;
    let register = async |control: &Control, by: &By| people::register(control, by, joining("Ada")).await;
    room.order(&Caller::Anonymous, register).await.denied("", "registration is not open");
    let ((ada, key), news) = room.order(&Caller::Token, register).await.done("admin.token account.create Ada");
    assert_eq!(news, [News::AccountMade(ada.id)]);
    assert_eq!(room.control.stream_key(ada.id).unwrap().expose(), key.expose());
    room.order(&Caller::Token, register).await.denied("admin.token account.create Ada", "the name is taken");

    let mut room = Room::open(&[]).await;
    let ((ada, _), news) = room.order(&Caller::Anonymous, register).await.done("Ada account.register");
    assert_eq!((news, ada.role), (vec![News::AccountMade(ada.id)], Role::Streamer));
    // One address registers so many at once, and no more.
    for number in 2..=20 {
        let name = format!("Guest {number}");
        let register = async |control: &Control, by: &By| people::register(control, by, joining(&name)).await;
        room.order(&Caller::Anonymous, register).await.done(&format!("{name} account.register"));
    }
    let register = async |control: &Control, by: &By| people::register(control, by, joining("One more")).await;
    let denied = room.order(&Caller::Anonymous, register).await.denied("", "too many attempts");
    assert!(matches!(denied, Denied::TooManyAttempts { .. }));
}

#[tokio::test]
async fn box_is_claimed_once_by_whoever_has_the_code() {
    let mut room = Room::open(&[("ADMIN__TOKEN", "")]).await;
    let code = room.control.setup_code().unwrap();
    let claim = async |room: &mut Room, code: SecretString| {
        let setup = Setup { code, name: "Root".to_owned(), password: PASSWORD.into() };
        room.order(&Caller::Anonymous, async |control, by| people::claim(control, by, setup).await).await
    };
    claim(&mut room, "WRONG".into()).await.denied("", "the setup code is wrong");
    assert!(!room.control.is_claimed());
    let ((admin, _), news) = claim(&mut room, code.clone()).await.done("Root box.claim");
    assert_eq!((admin.role, news), (Role::Admin, vec![News::AccountMade(admin.id)]));
    claim(&mut room, code).await.denied("", "set up already");
}

#[tokio::test]
async fn edit_tells_of_a_new_name_and_disabling_takes_place_and_sessions() {
    let mut room = Room::open(&[]).await;
    let (ada, _) = room.waits("Ada").await;
    room.streamer("Bob").await;
    let edit = async |room: &mut Room, id: AccountId, edit: Edit| {
        room.order(&Caller::Token, async |control, by| people::edit(control, by, id, edit).await).await
    };
    let named = |name: &str| Edit { name: Some(name.to_owned()), ..Edit::default() };
    edit(&mut room, ada, named("Bob")).await.denied("admin.token account.edit Ada: name \"Bob\"", "the name is taken");
    edit(&mut room, AccountId(77), named("Cy"))
        .await
        .denied("admin.token account.edit : name \"Cy\"", "no such account");
    let ((account, _), news) =
        edit(&mut room, ada, named("Bea")).await.done("admin.token account.edit Ada: name \"Bea\"");
    assert_eq!(account.name, "Bea");
    assert_eq!(news, [News::AccountRenamed(ada), News::AccountChanged(ada)]);
    // The name in the queue is another without any event there.
    room.until(|queue| queue.waiting.iter().all(|entry| entry.name == "Bea")).await;

    let session = room.session(ada, "here");
    let disabled = Edit { enabled: Some(false), ..Edit::default() };
    let (_, news) = edit(&mut room, ada, disabled).await.done("admin.token account.edit Bea: disabled");
    assert_eq!(news, [News::AccountChanged(ada)]);
    room.until(|queue| queue.waiting.is_empty()).await;
    assert!(!room.control.sessions().stands(&session));
    assert!(room.control.in_order(ada).is_none());
}

#[tokio::test]
async fn ban_and_deletion_take_everything_and_operators_ban_streamers_only() {
    let mut room = Room::open(&[]).await;
    let admin = room.account("Root", Role::Admin).await;
    let opa = Caller::Account(room.account("Opa", Role::Operator).await);
    let (ada, _) = room.waits("Ada").await;
    let ban = async |room: &mut Room, caller: &Caller, id: AccountId, on: bool| {
        room.order(caller, async |control, by| {
            if on { Ok(people::ban(control, by, id).await?.0) } else { people::unban(control, by, id).await }
        })
        .await
    };
    ban(&mut room, &opa, admin.id, true).await.denied("Opa account.ban Root", "operators may ban streamers only");
    ban(&mut room, &opa, AccountId(77), true).await.denied("Opa account.ban", "no such account");
    ban(&mut room, &Caller::Token, admin.id, true).await.denied("admin.token account.ban Root", "the last admin");
    let session = room.session(ada, "here");
    let (account, news) = ban(&mut room, &opa, ada, true).await.done("Opa account.ban Ada");
    assert!(account.banned);
    assert_eq!(news, [News::AccountChanged(ada)]);
    room.until(|queue| queue.waiting.is_empty()).await;
    assert!(!room.control.sessions().stands(&session));
    assert!(!publish(room.parts(), &room.whole.ingest, ada, "again").await);
    let (account, _) = ban(&mut room, &opa, ada, false).await.done("Opa account.unban Ada");
    assert!(!account.banned);

    let session = room.session(ada, "here");
    let delete = async |control: &Control, by: &By| people::delete(control, by, ada).await;
    let ((), news) = room.order(&Caller::Token, delete).await.done("admin.token account.delete Ada");
    assert_eq!(news, [News::AccountGone(ada)]);
    assert!(room.control.account(ada).is_none() && !room.control.sessions().stands(&session));
    room.order(&Caller::Token, delete).await.denied("admin.token account.delete", "no such account");
    let delete = async |control: &Control, by: &By| people::delete(control, by, admin.id).await;
    room.order(&Caller::Token, delete).await.denied("admin.token account.delete Root", "the last admin");
}

#[tokio::test]
async fn invitation_lets_one_in_until_it_is_revoked() {
    let mut room = Room::open(&[("ACCOUNTS__REGISTRATION", "invite")]).await;
    let invite = async |room: &mut Room, label: &str| {
        let new = NewInvitation { label: label.to_owned(), uses: 2, valid_hours: 1 };
        room.order(&Caller::Token, async |control, by| people::invite(control, by, &reached(), new).await).await
    };
    invite(&mut room, "").await.denied("admin.token invitation.create", "label");
    let made = invite(&mut room, "The band").await.done_quietly("admin.token invitation.create The band");
    assert_eq!(made.url, format!("http://10.0.0.1:8080/register?invitation={}", made.code));
    let join = async |room: &mut Room, name: &str, code: &str| {
        let registration = Registration { invitation: Some(code.into()), ..joining(name) };
        room.order(&Caller::Anonymous, async |control, by| people::register(control, by, registration).await).await
    };
    join(&mut room, "Ada", &made.code).await.done("Ada account.register");
    let id = made.invitation.id;
    let revoke = async |control: &Control, by: &By| people::revoke_invitation(control, by, id).await;
    room.order(&Caller::Token, revoke).await.done_quietly("admin.token invitation.revoke The band");
    assert_eq!(room.control.invitations().len(), 0);
    room.order(&Caller::Token, revoke).await.denied("", "no such invitation");
    join(&mut room, "Bob", &made.code).await.denied("", "invitation");
}

#[tokio::test]
async fn link_sets_a_password_once_and_ends_the_sessions() {
    let mut room = Room::open(&[]).await;
    let ada = room.streamer("Ada").await;
    let link = async |room: &mut Room, id: AccountId| {
        room.order(&Caller::Token, async |control, by| people::reset_link(control, by, &reached(), id).await).await
    };
    link(&mut room, AccountId(77)).await.denied("admin.token account.reset-link", "no such account");
    let made = link(&mut room, ada).await.done_quietly("admin.token account.reset-link Ada");
    let code: SecretString = made.url.strip_prefix("http://10.0.0.1:8080/reset/").unwrap().into();
    let looks = async |room: &mut Room, code: SecretString| {
        room.order(&Caller::Anonymous, async |control, by| people::resets(control, by, &code)).await
    };
    looks(&mut room, "guess".into()).await.denied("", "this link");
    assert_eq!(looks(&mut room, code.clone()).await.done_quietly("").id, ada);

    let session = room.session(ada, "here");
    let set = async |room: &mut Room, password: &str| {
        let (code, password) = (code.clone(), password.into());
        room.order(&Caller::Anonymous, async |control, by| people::reset_password(control, by, code, password).await)
            .await
    };
    set(&mut room, "short").await.denied("", "password");
    assert!(room.control.sessions().stands(&session));
    set(&mut room, "a new password").await.done_quietly("Ada account.reset-password");
    assert!(!room.control.sessions().stands(&session));
    set(&mut room, "another password").await.denied("", "this link");
}

#[tokio::test]
async fn new_key_ends_the_connection_of_the_one_before() {
    let mut room = Room::open(&[]).await;
    let (ada, _) = room.waits("Ada").await;
    let before = room.control.stream_key(ada).unwrap();
    let new_key = async |room: &mut Room, id: AccountId| {
        room.order(&Caller::Token, async |control, by| people::new_key(control, by, id).await).await
    };
    new_key(&mut room, AccountId(77)).await.denied("", "no such account");
    new_key(&mut room, ada).await.done_quietly("admin.token account.new-key Ada");
    assert_ne!(room.control.stream_key(ada).unwrap().expose(), before.expose());
    assert!(room.control.key_owner(&before).is_none());
    // The place is kept for whoever comes back with the new one.
    room.until(|queue| queue.waiting.iter().all(|entry| entry.presence == Presence::Absent)).await;
}
