//! Registration, sign-in, keys, claiming, and who is protected from what.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::{config::Sources, store::testing::Flaky};

struct Box_ {
    folder: TempDir,
    store: Store,
    accounts: Accounts,
}

/// A box that is configured by these variables.
async fn start(folder: TempDir, environment: &[(&str, &str)]) -> Box_ {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = Sources { file: None, fallback: "/nowhere".into(), environment }.load().unwrap().config;
    let (store, loaded) = Store::open(folder.path()).unwrap();
    let accounts = Accounts::open(store.clone(), &loaded, &config).await.unwrap();
    Box_ { folder, store, accounts }
}

async fn fresh() -> Box_ {
    start(TempDir::new().unwrap(), &[]).await
}

async fn with_policy(policy: &str) -> Box_ {
    start(TempDir::new().unwrap(), &[("MOTHERSTREAM_ACCOUNTS__REGISTRATION", policy)]).await
}

impl Box_ {
    async fn restart(self) -> Self {
        self.store.close().await;
        start(self.folder, &[]).await
    }

    /// Makes the first admin.
    async fn claimed(self) -> (Self, AccountId) {
        let code = self.accounts.setup_code().unwrap();
        let admin = self.accounts.claim(code.expose_secret(), "Root".to_owned(), PASSWORD.into()).await.unwrap().0;
        (self, admin.id)
    }
}

const PASSWORD: &str = "correct horse";

fn streamer(name: &str) -> Registration {
    Registration { name: name.to_owned(), password: PASSWORD.into(), email: None, timezone: None, invitation: None }
}

#[tokio::test]
async fn registered_streamer_signs_in_and_owns_the_key() {
    let here = fresh().await;
    let (account, key) = here.accounts.register(streamer("Ada Lovelace"), Standing::Stranger).await.unwrap();
    assert_eq!((account.role, account.enabled), (Role::Streamer, true));
    let owner = KeyOwner { id: account.id, name: "Ada Lovelace".to_owned(), refusal: None };
    assert_eq!(here.accounts.key_owner(&key), Some(owner.clone()));
    let typed = StreamKey::new(format!(" {}-", key.expose().to_uppercase().replace('0', "O").replace('1', "l")));
    assert_eq!(here.accounts.key_owner(&typed), Some(owner));
    assert_eq!(here.accounts.key_owner(&StreamKey::new("nobody")), None);
    assert_eq!(here.accounts.key_owner(&StreamKey::new("")), None);
    assert_eq!(here.accounts.sign_in("ADA lovelace", &PASSWORD.into(), Standing::Stranger).await.unwrap(), account);

    let here = here.restart().await;
    assert_eq!(here.accounts.sign_in("Ada Lovelace", &PASSWORD.into(), Standing::Stranger).await.unwrap(), account);
    assert_eq!(here.accounts.stream_key(account.id).unwrap().expose(), key.expose());
}

#[tokio::test]
async fn wrong_name_and_wrong_password_look_the_same() {
    let here = fresh().await;
    here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    let wrong = here.accounts.sign_in("Ada", &"wrong password".into(), Standing::Stranger).await.unwrap_err();
    let nobody = here.accounts.sign_in("Eve", &PASSWORD.into(), Standing::Stranger).await.unwrap_err();
    assert_eq!(wrong.to_string(), nobody.to_string());
}

#[tokio::test]
async fn look_alike_name_is_taken() {
    let here = fresh().await;
    here.accounts.register(streamer("Ada Lovelace"), Standing::Stranger).await.unwrap();
    for name in ["ada lovelace", "AdaLovelace", "Ａda  Lovelace"] {
        assert!(
            matches!(here.accounts.register(streamer(name), Standing::Stranger).await, Err(AccountError::NameTaken)),
            "{name}"
        );
    }
}

#[tokio::test]
async fn two_registrations_of_one_name_at_once_make_one_account() {
    let here = fresh().await;
    let (one, other) = tokio::join!(
        here.accounts.register(streamer("Ada"), Standing::Stranger),
        here.accounts.register(streamer("ADA"), Standing::Stranger)
    );
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(here.accounts.list().len(), 1);
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let here = fresh().await;
    let field = async |registration: Registration| match here
        .accounts
        .register(registration, Standing::Stranger)
        .await
        .unwrap_err()
    {
        AccountError::Invalid { field, .. } => field,
        _ => "another error",
    };
    assert_eq!(field(streamer("A")).await, "name");
    assert_eq!(field(Registration { password: "1234567".into(), ..streamer("Ada") }).await, "password");
    assert_eq!(field(Registration { password: "x".repeat(257).into(), ..streamer("Ada") }).await, "password");
    assert_eq!(field(Registration { email: Some("ada".to_owned()), ..streamer("Ada") }).await, "email");
    assert_eq!(field(Registration { timezone: Some("Ada; rm".to_owned()), ..streamer("Ada") }).await, "timezone");
    let good = Registration {
        email: Some(" ada@example.org ".to_owned()),
        timezone: Some("Europe/Berlin".to_owned()),
        ..streamer("Ada")
    };
    let account = here.accounts.register(good, Standing::Stranger).await.unwrap().0;
    assert_eq!(account.email.as_deref(), Some("ada@example.org"));
    let edit = Edit { email: Some(String::new()), ..Edit::default() };
    assert_eq!(here.accounts.edit(account.id, edit).await.unwrap().email, None);
}

#[tokio::test]
async fn policy_decides_who_registers() {
    for policy in ["closed", "invite"] {
        let here = with_policy(policy).await;
        let refused = here.accounts.register(streamer("Ada"), Standing::Stranger).await;
        let closed = matches!(refused, Err(AccountError::RegistrationClosed(_) | AccountError::InvitationNeeded));
        assert!(closed, "{policy}");
        here.accounts.create(streamer("Ada")).await.unwrap();
    }
}

#[tokio::test]
async fn approval_keeps_a_streamer_out_until_an_admin_enables_the_account() {
    let here = with_policy("approval").await;
    let (account, key) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    assert!(account.awaiting_approval && !account.enabled);
    assert!(here.accounts.key_owner(&key).unwrap().refusal.unwrap().contains("approval"));
    let refused = here.accounts.sign_in("Ada", &PASSWORD.into(), Standing::Stranger).await;
    assert!(matches!(refused, Err(AccountError::NotEnabled(_))));
    let account = here.accounts.unban(account.id).await.unwrap();
    assert!(account.awaiting_approval, "lifting a ban approves nobody");
    let edit = Edit { enabled: Some(true), ..Edit::default() };
    let account = here.accounts.edit(account.id, edit).await.unwrap();
    assert!(account.enabled && !account.awaiting_approval);
    assert_eq!(here.accounts.key_owner(&key).unwrap().refusal, None);
}

#[tokio::test]
async fn ban_is_lifted_by_unban_and_by_enabling() {
    let here = fresh().await;
    let (account, key) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    let (banned, _) = here.accounts.shut_out(account.id, Out::Banned).unwrap();
    assert!(banned.banned && !banned.enabled);
    assert!(here.accounts.key_owner(&key).unwrap().refusal.is_some());
    assert!(here.accounts.unban(account.id).await.unwrap().enabled);
    here.accounts.shut_out(account.id, Out::Banned).unwrap();
    let edit = Edit { enabled: Some(true), ..Edit::default() };
    let account = here.accounts.edit(account.id, edit).await.unwrap();
    assert!(account.enabled && !account.banned);
}

#[tokio::test]
async fn ban_stays_that_comes_while_the_password_of_an_edit_is_hashed() {
    let here = fresh().await;
    let (account, key) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    let edit = Edit { password: Some("another horse".into()), enabled: Some(true), ..Edit::default() };
    let (edited, ()) = tokio::join!(here.accounts.edit(account.id, edit), async {
        here.accounts.shut_out(account.id, Out::Banned).unwrap();
        here.accounts.shut_out(account.id, Out::Disabled).unwrap();
    });
    let edited = edited.unwrap();
    assert!(edited.banned && !edited.enabled, "{edited:?}");
    assert!(here.accounts.key_owner(&key).unwrap().refusal.is_some());
    let here = here.restart().await;
    assert!(here.accounts.get(account.id).unwrap().banned);
    here.accounts.unban(account.id).await.unwrap();
    assert!(!here.accounts.get(account.id).unwrap().enabled, "disabled is disabled");
}

/// Banned while one change is being stored, and disabled while the next one cannot be.
#[tokio::test]
async fn whoever_is_shut_out_while_a_change_fails_is_so_after_a_restart() {
    let flaky = Flaky::new();
    let (store, loaded) = flaky.open();
    let config = Sources { file: None, fallback: "/nowhere".into(), environment: Vec::new() }.load().unwrap().config;
    let accounts = Accounts::open(store.clone(), &loaded, &config).await.unwrap();
    let id = accounts.create(streamer("Ada")).await.unwrap().0.id;
    accounts.shut_out(id, Out::Banned).unwrap();
    let renamed = AccountRecord { name: "Countess".to_owned(), ..AccountRecord::clone(&accounts.record(id).unwrap()) };
    flaky.fail(Some(std::io::ErrorKind::Other));
    let (done, ()) = tokio::join!(accounts.commit_or_keep(vec![Change::PutAccount(renamed)], id), async {
        accounts.shut_out(id, Out::Disabled).unwrap();
    });
    assert!(done.is_err());
    flaky.fail(None);
    store.close().await;
    let (store, loaded) = flaky.open();
    let ada = &loaded.accounts[0];
    assert_eq!((ada.name.as_str(), ada.banned, ada.enabled), ("Ada", true, false));
    store.close().await;
}

#[tokio::test]
async fn new_key_kills_the_old_one() {
    let here = fresh().await;
    let (account, old) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    let new = here.accounts.new_stream_key(account.id).await.unwrap();
    assert_eq!(here.accounts.key_owner(&old), None);
    assert_eq!(here.accounts.key_owner(&new).unwrap().id, account.id);
    let here = here.restart().await;
    assert_eq!(here.accounts.key_owner(&old), None);
    assert_eq!(here.accounts.key_owner(&new).unwrap().id, account.id);
}

#[tokio::test]
async fn renamed_account_is_found_by_its_new_name_only() {
    let here = fresh().await;
    let ada = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap().0;
    here.accounts.register(streamer("Bob"), Standing::Stranger).await.unwrap();
    let rename = |name: &str| Edit { name: Some(name.to_owned()), ..Edit::default() };
    assert!(matches!(here.accounts.edit(ada.id, rename("BOB")).await, Err(AccountError::NameTaken)));
    assert_eq!(here.accounts.edit(ada.id, rename("ADA")).await.unwrap().name, "ADA");
    here.accounts.edit(ada.id, rename("Countess")).await.unwrap();
    here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    let names: Vec<_> = here.accounts.list().into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["Ada", "Bob", "Countess"]);
}

#[tokio::test]
async fn new_password_replaces_the_old_one() {
    let here = fresh().await;
    let ada = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap().0;
    let edit = Edit { password: Some("another horse".into()), ..Edit::default() };
    here.accounts.edit(ada.id, edit).await.unwrap();
    assert!(here.accounts.sign_in("Ada", &PASSWORD.into(), Standing::Stranger).await.is_err());
    here.accounts.sign_in("Ada", &"another horse".into(), Standing::Stranger).await.unwrap();
}

#[tokio::test]
async fn deleted_account_is_gone_and_its_id_never_comes_back() {
    let here = fresh().await;
    let (ada, key) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    here.accounts.delete(ada.id).await.unwrap();
    assert_eq!(here.accounts.key_owner(&key), None);
    assert!(matches!(here.accounts.delete(ada.id).await, Err(AccountError::NotFound)));
    let here = here.restart().await;
    assert!(here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap().0.id > ada.id);
}

#[tokio::test]
async fn setup_code_stays_the_same_until_it_is_used() {
    let here = fresh().await;
    let code = here.accounts.setup_code().unwrap();
    assert_eq!(code.expose_secret().len(), 8);
    assert!(!here.accounts.is_claimed());
    let here = here.restart().await;
    assert_eq!(here.accounts.setup_code().unwrap().expose_secret(), code.expose_secret());
    let wrong = here.accounts.claim("00000000", "Root".to_owned(), PASSWORD.into()).await;
    assert!(matches!(wrong, Err(AccountError::WrongSetupCode)));
    let typed = code.expose_secret().to_uppercase();
    let (admin, _) = here.accounts.claim(&typed, "Root".to_owned(), PASSWORD.into()).await.unwrap();
    assert_eq!(admin.role, Role::Admin);
    assert!(here.accounts.is_claimed() && here.accounts.setup_code().is_none());
    let again = here.accounts.claim(&typed, "Root2".to_owned(), PASSWORD.into()).await;
    assert!(matches!(again, Err(AccountError::AlreadyClaimed)));
    let here = here.restart().await;
    assert!(here.accounts.is_claimed() && here.accounts.setup_code().is_none());
}

#[tokio::test]
async fn two_claims_at_once_make_one_admin() {
    let here = fresh().await;
    let code = here.accounts.setup_code().unwrap();
    let claim = |name: &str| here.accounts.claim(code.expose_secret(), name.to_owned(), PASSWORD.into());
    let (one, other) = tokio::join!(claim("One"), claim("Two"));
    assert!(one.is_ok() != other.is_ok());
    assert_eq!(here.accounts.list().len(), 1);
}

#[tokio::test]
async fn configured_token_counts_as_claimed() {
    let token = "0123456789abcdef";
    let here = start(TempDir::new().unwrap(), &[("MOTHERSTREAM_ADMIN__TOKEN", token)]).await;
    assert!(here.accounts.is_claimed() && here.accounts.setup_code().is_none());
    assert!(here.accounts.is_admin_token(token));
    assert!(!here.accounts.is_admin_token("0123456789abcdeg") && !here.accounts.is_admin_token(""));
    assert!(!fresh().await.accounts.is_admin_token(""));
}

#[tokio::test]
async fn last_admin_is_protected() {
    let (here, admin) = fresh().await.claimed().await;
    let demote = || Edit { role: Some(Role::Streamer), ..Edit::default() };
    let disable = || Edit { enabled: Some(false), ..Edit::default() };
    assert!(matches!(here.accounts.edit(admin, demote()).await, Err(AccountError::LastAdmin)));
    assert!(matches!(here.accounts.edit(admin, disable()).await, Err(AccountError::LastAdmin)));
    assert!(matches!(here.accounts.shut_out(admin, Out::Banned), Err(AccountError::LastAdmin)));
    assert!(matches!(here.accounts.delete(admin).await, Err(AccountError::LastAdmin)));
    let other = here.accounts.create(streamer("Second")).await.unwrap().0;
    let promote = Edit { role: Some(Role::Admin), ..Edit::default() };
    here.accounts.edit(other.id, promote).await.unwrap();
    let (one, two) = tokio::join!(here.accounts.edit(admin, demote()), here.accounts.edit(other.id, demote()));
    assert!(one.is_ok() != two.is_ok(), "one of them remains");
}

#[tokio::test]
async fn nothing_is_changed_that_can_not_be_stored() {
    let here = fresh().await;
    let (ada, key) = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap();
    here.store.close().await;
    assert!(matches!(here.accounts.register(streamer("Bob"), Standing::Stranger).await, Err(AccountError::Store(_))));
    assert!(matches!(here.accounts.new_stream_key(ada.id).await, Err(AccountError::Store(_))));
    assert_eq!(here.accounts.list(), [ada]);
    assert!(here.accounts.key_owner(&key).is_some());
}

#[tokio::test]
async fn viewer_tokens_work_until_they_are_revoked() {
    let here = fresh().await;
    let (viewer, token) = here.accounts.viewers().create(" OBS in the foyer ").await.unwrap();
    assert_eq!(viewer.label, "OBS in the foyer");
    assert!(here.accounts.viewers().create(" ").await.is_err());
    let here = here.restart().await;
    let viewers = here.accounts.viewers();
    assert_eq!(viewers.check(token.expose_secret()), Some(viewer.id));
    assert_eq!(viewers.check("guess"), None);
    assert_eq!(viewers.list(), std::slice::from_ref(&viewer));
    viewers.revoke(viewer.id).await.unwrap();
    assert_eq!(viewers.check(token.expose_secret()), None);
    assert!(matches!(viewers.revoke(viewer.id).await, Err(AccountError::NotFound)));
    let raw = std::fs::read(here.folder.path().join(crate::store::FILE_NAME)).unwrap();
    let needle = token.expose_secret().as_bytes();
    assert!(!raw.windows(needle.len()).any(|window| window == needle), "the token itself is not stored");
}

#[tokio::test]
async fn device_is_known_by_its_own_account_alone_until_the_password_changes_and_after_a_restart() {
    let here = fresh().await;
    let ada = here.accounts.register(streamer("Ada"), Standing::Stranger).await.unwrap().0;
    let bob = here.accounts.register(streamer("Bob"), Standing::Stranger).await.unwrap().0;
    let proof = here.accounts.remember(ada.id, None).unwrap();
    let known = |here: &Box_, name: &str, proof: &SecretString| here.accounts.device(name, proof).map(|it| it.account);
    assert_eq!(known(&here, "ADA", &proof), Some(ada.id));
    assert_eq!(known(&here, "Bob", &proof), None);
    assert_eq!(known(&here, "Nobody", &proof), None);
    let again = here.accounts.remember(ada.id, None).unwrap();
    assert_ne!(again.expose_secret(), proof.expose_secret(), "two devices are one");
    assert!(!here.accounts.device("Ada", &proof).unwrap().crew);

    // No bit of it can be another.
    let bytes = data_encoding::BASE64URL_NOPAD.decode(proof.expose_secret().as_bytes()).unwrap();
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 1;
        let forged = SecretString::from(data_encoding::BASE64URL_NOPAD.encode(&forged));
        assert_eq!((known(&here, "Ada", &forged), known(&here, "Bob", &forged)), (None, None), "byte {at}");
    }
    for nonsense in ["", ".", "....", "AAAA", "ä", &"A".repeat(10_000), &proof.expose_secret()[1..]] {
        assert_eq!(known(&here, "Ada", &nonsense.into()), None, "{nonsense:?}");
    }

    // One browser, two people; the last four at most.
    let both = here.accounts.remember(bob.id, Some(&proof)).unwrap();
    assert_eq!((known(&here, "Ada", &both), known(&here, "Bob", &both)), (Some(ada.id), Some(bob.id)));
    let mut shared = both.clone();
    for _ in 0..6 {
        shared = here.accounts.remember(bob.id, Some(&shared)).unwrap();
    }
    assert_eq!(known(&here, "Ada", &shared), Some(ada.id), "one account's devices push out another's");
    assert!(shared.expose_secret().len() < 300);

    here.accounts.shut_out(ada.id, Out::Banned).unwrap();
    assert_eq!(known(&here, "Ada", &proof), None);
    here.accounts.unban(ada.id).await.unwrap();
    let here = here.restart().await;
    assert_eq!(known(&here, "Ada", &proof), Some(ada.id));
    // The very same password, set anew, is another.
    let edit = Edit { password: Some(PASSWORD.into()), ..Edit::default() };
    here.accounts.edit(ada.id, edit).await.unwrap();
    assert_eq!((known(&here, "Ada", &both), known(&here, "Bob", &both)), (None, Some(bob.id)));
    here.accounts.delete(bob.id).await.unwrap();
    assert_eq!(known(&here, "Bob", &both), None);
    assert!(here.accounts.remember(bob.id, None).is_none());
}
